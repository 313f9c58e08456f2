/* What judges have said, kept in a folder so that nobody is asked twice. Collective where it says so.
 *
 *   verdicts.h5            key U64 (n, 2), score F64 (n), oldest first
 *   verdicts.RANK.journal  what this rank has heard since: 32 bytes a verdict, key, score and their XXH3 hash
 *
 * HDF5 cannot be appended to safely: the library writes its metadata late and in any order, and a file whose
 * writer was killed may not open again. So verdicts go to a journal, one write each; whatever is whole in it
 * counts and a torn end is dropped. When the journals have grown by an eighth of the whole, rank 0 writes
 * verdicts.h5 anew beside the old one, renames it, and the journals start again; a kill in between leaves
 * verdicts in both, which is no harm. A verdicts.h5 that cannot be read, or holds what no judge says, is set
 * aside as verdicts.h5.damaged with a warning.
 *
 * What cannot be written, because the disk is full, say, waits in memory, within a bound, and is tried again.
 *
 * At most max_verdicts are kept; beyond that the older half is forgotten. Every process reads all of the
 * folder when it opens it, so another number of ranks finds everything. */
#ifndef FOVEA_REWARD_JUDGE_VERDICT_LOG_H
#define FOVEA_REWARD_JUDGE_VERDICT_LOG_H

#include "fovea/comm/comm.h"
#include "fovea/reward/judge/judge.h"

/* Of a case and of who judges it. */
typedef struct fv_verdict_key {
    uint64_t low, high;
} fv_verdict_key;

/* XXH3 of 128 bits over the judge's identity (model, wording, parameters: any bytes) and the case. */
fv_verdict_key fv_verdict_key_of(fv_slice identity, const fv_case *asked);

typedef struct fv_verdict_log fv_verdict_log;

/* folder is made (its parent must exist). rank names this process's journal. Local. */
fv_err fv_verdict_log_open(const char *folder, int rank, int64_t max_verdicts, fv_verdict_log **out);
void fv_verdict_log_close(fv_verdict_log *log); /* NULL is fine. Local */

/* 1 and *score if there is a verdict. Local. */
int fv_verdict_log_find(const fv_verdict_log *log, fv_verdict_key key, double *score);

/* Local. The verdict outlives a kill of this process (a crash of the machine: what fold has written). The
 * first one waits some seconds for a process that holds the journal, as one that has been killed does for a
 * moment; FV_ERR_ARGUMENT if it goes on. */
fv_err fv_verdict_log_add(fv_verdict_log *log, fv_verdict_key key, double score);

/* Every rank learns what the others have added, and verdicts.h5 is written if it is time. Collective over
 * comm, whose ranks are those given to open. */
fv_err fv_verdict_log_share(fv_verdict_log *log, fv_comm *comm);

#endif
