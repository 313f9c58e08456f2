/* The programs: one file a subcommand. Each parses its options (argp), builds, runs and tears down, and
 * returns the exit status. A job reports a failure with fv_job_finish; main() sees whether standard output
 * was written. */
#ifndef FOVEA_JOBS_H
#define FOVEA_JOBS_H

#include "fovea/base/error.h"

/* X(name, one line of help). The function is fv_job_<name>. */
#define FV_JOB_LIST(X)                                                                \
    X(generate, "answer a question, about images if there are any")                   \
    X(eval, "answer a data set and report score, calls of the tool and tokens")       \
    X(score, "score answers that are there already by the rules of a benchmark")      \
    X(compare, "compare two evaluations of the same data, row by row")                \
    X(init, "make a model folder with random weights from a shape")                   \
    X(export, "write a model folder again, in another number format or form")         \
    X(import, "make a model folder the first checkpoint of a run")                    \
    X(ckpt, "list, verify, compare and export checkpoints")                           \
    X(train, "teach a model by reinforcement learning when to look closer")           \
    X(sft, "teach a model from the answers of a data set")                            \
    X(bench, "measure how fast this machine is, beside what it could do at most")     \
    X(sweep, "plan, submit, follow and collect many runs of training")                \
    X(doctor, "tell what this machine has for fovea, and what is missing")            \
    X(probe, "one sequence through a model, every figure about it into an HDF5 file") \
    X(pack, "write questions, answers and images into one data set file")             \
    X(tokenize, "turn text into token ids, or back")

typedef int (*fv_job)(int argc, char **argv);

#define X(name, help) int fv_job_##name(int argc, char **argv);
FV_JOB_LIST(X)
#undef X

/* Exit statuses: 0 fine; FV_EXIT_FAILED an error, printed; FV_EXIT_USAGE a wrong command line; FV_EXIT_AGAIN
 * stopped on request: started again in the same way it goes on; FV_EXIT_SIGNAL + N ended in order by signal
 * N, as a shell calls it. */
enum { FV_EXIT_FAILED = 1, FV_EXIT_USAGE = 2, FV_EXIT_AGAIN = 75, FV_EXIT_SIGNAL = 128 };

/* FV_EXIT_SIGNAL with the signal that requested a stop, or with SIGINT if another rank was told. */
int fv_job_interrupted(void);

/* Print the recorded error as one sentence on standard error (with the call trace if FOVEA_TRACE is set) and
 * return FV_EXIT_FAILED, fv_job_interrupted() for FV_STOPPED; returns 0 for FV_OK. */
int fv_job_finish(fv_err err);

#endif
