/* The two hash tables of a tokenizer: token text -> id, and pair of ids -> merge. Both use open addressing
 * and are sized once. */
#include "model/tokenizer/tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

static uint64_t hash_text(const char *text, size_t size)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (uint8_t)text[i]) * 0x100000001B3u;
    return hash ^ hash >> 29;
}

fv_err fv_tokenizer_table_init(fv_tokenizer *t, size_t n_tokens, int32_t n_ids)
{
    size_t n_slots = 16;
    while (n_slots < 2 * n_tokens)
        n_slots *= 2;
    t->by_text = malloc(n_slots * sizeof *t->by_text);
    t->tokens = calloc((size_t)n_ids, sizeof *t->tokens);
    FV_CHECK(t->by_text && t->tokens, FV_ERR_MEMORY, "%s: cannot allocate a vocabulary of %zu tokens",
             t->name, n_tokens);
    memset(t->by_text, 0xFF, n_slots * sizeof *t->by_text);
    t->text_mask = n_slots - 1;
    t->n_tokens = n_ids;
    return FV_OK;
}

/* The slot that holds the text's id, or the empty one where it belongs. */
static int32_t *text_slot(const fv_tokenizer *t, const char *text, size_t size)
{
    for (size_t i = hash_text(text, size);; i++) {
        int32_t *slot = &t->by_text[i & t->text_mask];
        if (*slot < 0)
            return slot;
        const fv_token_entry *token = &t->tokens[*slot];
        if (token->size == size && memcmp(t->text.data + token->offset, text, size) == 0)
            return slot;
    }
}

int32_t fv_tokenizer_table_find(const fv_tokenizer *t, const char *text, size_t size)
{
    return *text_slot(t, text, size);
}

fv_err fv_tokenizer_table_insert(fv_tokenizer *t, const char *text, size_t size, int32_t id)
{
    fv_token_entry *token = &t->tokens[id];
    FV_CHECK(token->kind == FV_TOKEN_UNUSED, FV_ERR_FORMAT,
             "%s: id %d belongs to both \"%s\" and \"%s\"; give each token its own", t->name, id,
             t->text.data + token->offset, text);
    int32_t *slot = text_slot(t, text, size);
    *token =
        (fv_token_entry){.offset = (uint32_t)t->text.size, .size = (uint32_t)size, .kind = FV_TOKEN_ORDINARY};
    FV_TRY(fv_buffer_append(&t->text, text, size));
    FV_TRY(fv_buffer_append(&t->text, "", 1));
    *slot = id;
    return FV_OK;
}

fv_err fv_tokenizer_merges_init(fv_tokenizer *t, size_t n_merges)
{
    FV_CHECK(n_merges < (size_t)1 << FV_RANK_BITS, FV_ERR_UNSUPPORTED, "%s: %zu merges, at most %d are taken",
             t->name, n_merges, (1 << FV_RANK_BITS) - 1);
    int bits = 4;
    while (((size_t)1 << bits) * 3 < n_merges * 4)
        bits++;
    size_t n_slots = (size_t)1 << bits;
    t->merges = malloc(n_slots * sizeof *t->merges);
    t->merged = malloc((n_merges + 1) * sizeof *t->merged);
    FV_CHECK(t->merges && t->merged, FV_ERR_MEMORY, "%s: cannot allocate a table of %zu merges", t->name,
             n_merges);
    memset(t->merges, 0xFF, n_slots * sizeof *t->merges);
    t->merge_shift = 64 - bits;
    t->n_merges = (uint32_t)n_merges;
    return FV_OK;
}

void fv_tokenizer_merge_insert(fv_tokenizer *t, int32_t left, int32_t right, uint32_t rank, int32_t merged)
{
    uint64_t pair = (uint64_t)(uint32_t)left << FV_ID_BITS | (uint32_t)right;
    *fv_tokenizer_merge_slot(t, left, right) = pair << FV_RANK_BITS | rank;
    t->merged[rank] = merged;
}
