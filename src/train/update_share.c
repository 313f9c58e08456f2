/* Sharing out a mini-batch: every rank works out for itself which trees are whose. */
#include "fovea/train/update.h"

#include <string.h>

/* Cut a group into trees of at most micro_tokens, of one sample at least; returns how many. */
static int cut(const fv_group *group, int64_t micro_tokens, fv_tree *trees)
{
    int n = 0;
    for (int first = 0; first < group->n_samples; first += trees[n++].n) {
        trees[n] = (fv_tree){group, first, 1};
        while (first + trees[n].n < group->n_samples) {
            trees[n].n++;
            if (fv_tree_tokens(&trees[n]) > micro_tokens) {
                trees[n].n--;
                break;
            }
        }
    }
    return n;
}

static int least(const int64_t *loads, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (loads[i] < loads[best])
            best = i;
    return best;
}

/* The largest tree left goes to the rank with the least; among equals the first. */
int fv_update_share(const fv_group *groups, int n, int64_t micro_tokens, int rank, int n_ranks,
                    fv_tree *trees, int64_t *scratch)
{
    int n_trees = 0, n_own = 0;
    int64_t *loads = scratch, *tokens = scratch + n_ranks;
    for (int g = 0; g < n; g++)
        n_trees += cut(&groups[g], micro_tokens, trees + n_trees);
    for (int i = 0; i < n_trees; i++)
        tokens[i] = fv_tree_tokens(&trees[i]);
    memset(loads, 0, (size_t)n_ranks * sizeof *loads);
    for (int given = 0; given < n_trees; given++) {
        int largest = 0;
        for (int i = 1; i < n_trees; i++)
            if (tokens[i] > tokens[largest])
                largest = i;
        int to = least(loads, n_ranks);
        loads[to] += tokens[largest];
        tokens[largest] = to == rank ? -1 : -2;
    }
    for (int i = 0; i < n_trees; i++)
        if (tokens[i] == -1)
            trees[n_own++] = trees[i];
    return n_own;
}
