#include "fovea/model/checkpoint/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char prefix[] = "step_";

void fv_checkpoint_name(uint64_t step, char out[FV_CHECKPOINT_NAME_BYTES])
{
    snprintf(out, FV_CHECKPOINT_NAME_BYTES, "%s%06llu", prefix, (unsigned long long)step);
}

static int is_name(const struct dirent *entry)
{
    const char *digits = entry->d_name + strlen(prefix);
    return strncmp(entry->d_name, prefix, strlen(prefix)) == 0 && strlen(digits) >= 6 &&
           strlen(digits) < 20 && digits[strspn(digits, "0123456789")] == '\0';
}

static int by_step(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

fv_err fv_checkpoint_list(const char *folder, uint64_t **steps, int *n)
{
    struct dirent **entries;
    *steps = NULL;
    *n = scandir(folder, &entries, is_name, NULL);
    FV_CHECK(*n >= 0, FV_ERR_IO, "cannot read folder %s: %s", folder, strerror(errno));
    *steps = malloc(((size_t)*n + 1) * sizeof **steps);
    for (int i = 0; i < *n; i++) {
        if (*steps)
            (*steps)[i] = strtoull(entries[i]->d_name + strlen(prefix), NULL, 10);
        free(entries[i]);
    }
    free(entries);
    FV_CHECK(*steps, FV_ERR_MEMORY, "no memory for a list of %d checkpoints", *n);
    qsort(*steps, (size_t)*n, sizeof **steps, by_step);
    return FV_OK;
}
