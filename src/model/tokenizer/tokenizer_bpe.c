/* Byte pair encoding of one piece: start from its bytes; as long as two neighbours have a merge, do the one
 * of the lowest rank, the leftmost of equals. */
#include "model/tokenizer/tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

enum { SHORT_PIECE = 64 }; /* bytes; up to here looking at every pair each time is fastest */

static size_t merge_short(const fv_tokenizer *t, int32_t *ids, size_t n)
{
    uint32_t ranks[SHORT_PIECE];
    for (size_t i = 0; i + 1 < n; i++)
        ranks[i] = fv_tokenizer_merge_rank(t, ids[i], ids[i + 1]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (ranks[i] < ranks[best])
                best = i;
        if (ranks[best] == FV_NO_MERGE)
            break;
        ids[best] = t->merged[ranks[best]];
        n--;
        for (size_t i = best + 1; i < n; i++) {
            ids[i] = ids[i + 1];
            ranks[i - 1] = ranks[i];
        }
        if (best > 0)
            ranks[best - 1] = fv_tokenizer_merge_rank(t, ids[best - 1], ids[best]);
        if (best + 1 < n)
            ranks[best] = fv_tokenizer_merge_rank(t, ids[best], ids[best + 1]);
    }
    return n;
}

/* A long piece: a linked list of ids and a heap of possible merges. An entry of the heap that no longer is
 * what the list says is passed over, so the time is n log n whatever the piece. */
enum { NONE = -1 };

typedef struct node {
    int32_t id; /* NONE once merged into the node before */
    int32_t before, after;
} node;

typedef struct heap {
    uint64_t *items; /* (2 n): each merge takes one and adds at most two */
    size_t n;
} heap;

/* A merge in order of precedence: rank, then where it is. */
#define NOT_POSSIBLE UINT64_MAX

static uint64_t long_merge(const fv_tokenizer *t, const node *nodes, int32_t at)
{
    if (nodes[at].id == NONE || nodes[at].after == NONE)
        return NOT_POSSIBLE;
    uint32_t rank = fv_tokenizer_merge_rank(t, nodes[at].id, nodes[nodes[at].after].id);
    return rank == FV_NO_MERGE ? NOT_POSSIBLE : (uint64_t)rank << 32 | (uint32_t)at;
}

static void sift_down(heap *h, size_t at)
{
    uint64_t item = h->items[at];
    for (size_t child; (child = 2 * at + 1) < h->n; at = child) {
        if (child + 1 < h->n && h->items[child + 1] < h->items[child])
            child++;
        if (h->items[child] >= item)
            break;
        h->items[at] = h->items[child];
    }
    h->items[at] = item;
}

static void push(heap *h, uint64_t item)
{
    if (item == NOT_POSSIBLE)
        return;
    size_t at = h->n++;
    for (; at > 0 && h->items[(at - 1) / 2] > item; at = (at - 1) / 2)
        h->items[at] = h->items[(at - 1) / 2];
    h->items[at] = item;
}

static uint64_t pop(heap *h)
{
    uint64_t item = h->items[0];
    h->items[0] = h->items[--h->n];
    if (h->n)
        sift_down(h, 0);
    return item;
}

static void start_long(const fv_tokenizer *t, const uint8_t *piece, int32_t n, node *nodes, heap *h)
{
    for (int32_t i = 0; i < n; i++)
        nodes[i] = (node){t->byte_id[piece[i]], i - 1, i + 1 < n ? i + 1 : NONE};
    for (int32_t i = 0; i + 1 < n; i++) {
        uint64_t item = long_merge(t, nodes, i);
        if (item != NOT_POSSIBLE)
            h->items[h->n++] = item;
    }
    for (size_t i = h->n / 2; i-- > 0;)
        sift_down(h, i);
}

static void merge_long(const fv_tokenizer *t, node *nodes, heap *h)
{
    while (h->n) {
        uint64_t item = pop(h);
        int32_t at = (int32_t)(uint32_t)item;
        if (long_merge(t, nodes, at) != item)
            continue;
        node *left = &nodes[at], *right = &nodes[left->after];
        left->id = t->merged[item >> 32];
        left->after = right->after;
        right->id = NONE;
        if (left->after != NONE)
            nodes[left->after].before = at;
        push(h, long_merge(t, nodes, at));
        if (left->before != NONE)
            push(h, long_merge(t, nodes, left->before));
    }
}

static fv_err append_long(const fv_tokenizer *t, const char *piece, size_t size, fv_tokens *out)
{
    FV_CHECK(size < INT32_MAX, FV_ERR_ARGUMENT,
             "a piece of text of %zu bytes without a break, at most %d are taken", size, INT32_MAX);
    node *nodes = malloc(size * sizeof *nodes);
    heap h = {malloc(2 * size * sizeof *h.items), 0};
    fv_err err = FV_OK;
    FV_CHECK_DONE(nodes && h.items, FV_ERR_MEMORY, "cannot allocate the merging of a piece of %zu bytes",
                  size);
    start_long(t, (const uint8_t *)piece, (int32_t)size, nodes, &h);
    merge_long(t, nodes, &h);
    for (int32_t i = 0; i != NONE; i = nodes[i].after)
        FV_TRY_DONE(fv_tokens_push(out, nodes[i].id));
done:
    free(nodes);
    free(h.items);
    return err;
}

fv_err fv_bpe_append(const fv_tokenizer *t, const char *piece, size_t size, fv_tokens *out)
{
    if (size > SHORT_PIECE)
        return append_long(t, piece, size, out);
    FV_TRY(fv_tokens_reserve(out, size));
    int32_t *ids = out->ids + out->n;
    for (size_t i = 0; i < size; i++)
        ids[i] = t->byte_id[(uint8_t)piece[i]];
    out->n += merge_short(t, ids, size);
    return FV_OK;
}
