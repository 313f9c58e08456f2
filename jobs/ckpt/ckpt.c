/* fovea ckpt: look at checkpoints. One verb each: list, verify, diff; export is fovea export. */
#include "jobs/ckpt/ckpt.h"
#include "jobs/jobs.h"

#include "fovea/model/checkpoint/checkpoint.h"
#include "fovea/base/file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The name in RUN/checkpoints/latest; "" if there is none. */
static void read_latest(const char *folder, char *out, size_t size)
{
    char path[PATH_MAX];
    fv_file_map map;
    *out = '\0';
    if (fv_file_path(path, sizeof path, folder, "latest") != FV_OK || fv_file_open_map(path, &map) != FV_OK)
        return;
    snprintf(out, size, "%.*s", (int)map.size, map.data ? (const char *)map.data : "");
    out[strcspn(out, "\n")] = '\0';
    fv_file_close_map(&map);
}

static fv_err list_one(const char *folder, const char *name, int is_latest)
{
    char path[PATH_MAX];
    fv_checkpoint *c;
    FV_TRY(fv_file_path(path, sizeof path, folder, name));
    if (fv_checkpoint_open(path, &c) != FV_OK) {
        printf("%-14s damaged: %s\n", name, fv_error_text());
        return FV_OK;
    }
    fv_checkpoint_facts facts = fv_checkpoint_facts_of(c);
    printf("%-14s step %-8llu epoch %-4llu %3d ranks (%d tensor) %9.3f GB%s\n", name,
           (unsigned long long)facts.step, (unsigned long long)facts.epoch, facts.n_shards,
           facts.tensor_ranks, 1e-9 * (double)facts.bytes, is_latest ? "  latest" : "");
    fv_checkpoint_close(c);
    return FV_OK;
}

static fv_err list(char **paths)
{
    char folder[PATH_MAX], latest[NAME_MAX + 1], name[FV_CHECKPOINT_NAME_BYTES];
    uint64_t *steps;
    int n;
    FV_TRY(fv_file_path(folder, sizeof folder, paths[0], "checkpoints"));
    FV_TRY(fv_checkpoint_list(folder, &steps, &n));
    read_latest(folder, latest, sizeof latest);
    fv_err err = FV_OK;
    for (int i = 0; i < n && err == FV_OK; i++) {
        fv_checkpoint_name(steps[i], name);
        err = list_one(folder, name, strcmp(name, latest) == 0);
    }
    free(steps);
    return err;
}

static fv_err verify(char **paths)
{
    for (; *paths; paths++) {
        fv_checkpoint *c;
        FV_TRY(fv_checkpoint_verify(*paths, 0, 1));
        FV_TRY(fv_checkpoint_open(*paths, &c));
        fv_checkpoint_close(c);
        printf("%s: whole\n", *paths);
    }
    return FV_OK;
}

static const struct {
    const char *name;
    int min, max; /* paths */
    fv_err (*run)(char **paths);
    const char *help;
} verbs[] = {
    {"list", 1, 1, list, "list RUN             the checkpoints of a run"},
    {"verify", 1, INT_MAX, verify, "verify PATH...       compare every byte with the checksums"},
    {"diff", 2, 2, fv_ckpt_diff,
     "diff PATH PATH       name the tensors that differ; status 1 if there are any"},
};

enum { N_VERBS = sizeof verbs / sizeof verbs[0] };

static void print_help(FILE *stream)
{
    fprintf(stream, "Usage: fovea ckpt VERB ...\nLook at checkpoints, RUN/checkpoints/step_*.\n\n");
    for (int i = 0; i < N_VERBS; i++)
        fprintf(stream, "  %s\n", verbs[i].help);
    fprintf(stream, "  export PATH --out DIR [--dtype TYPE] ...\n"
                    "                       write its weights as a model folder, as fovea export does\n\n"
                    "Model folders may stand in place of a PATH of diff.\n");
}

static int find_verb(const char *name)
{
    int i = 0;
    while (i < N_VERBS && strcmp(verbs[i].name, name) != 0)
        i++;
    return i;
}

int fv_job_ckpt(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-?") == 0) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(name, "export") == 0) {
        static char command[] = "fovea ckpt export";
        argv[1] = command;
        return fv_job_export(argc - 1, argv + 1);
    }
    int verb = find_verb(name), n = argc - 2;
    if (verb == N_VERBS || n < verbs[verb].min || n > verbs[verb].max) {
        print_help(stderr);
        return FV_EXIT_USAGE;
    }
    return fv_job_finish(verbs[verb].run(argv + 2));
}
