/* The words that are one token. Most pieces of text are; they are found by their bytes, without merging. */
#include "model/tokenizer/tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

/* What merging makes of the bytes of a token; no ids if they are too many for a word. */
static fv_err encode_token(const fv_tokenizer *t, int32_t id, fv_buffer *bytes, fv_tokens *ids)
{
    bytes->size = 0;
    ids->n = 0;
    if (t->tokens[id].kind != FV_TOKEN_ORDINARY || t->tokens[id].size > 2 * FV_WORD_BYTES)
        return FV_OK;
    FV_TRY(fv_token_append_bytes(t, id, bytes));
    if (bytes->size == 0 || bytes->size > FV_WORD_BYTES)
        return FV_OK;
    return fv_bpe_append(t, bytes->data, bytes->size, ids);
}

static void insert(fv_tokenizer *t, const fv_buffer *bytes, int32_t id)
{
    char padded[FV_WORD_BYTES] = {0};
    memcpy(padded, bytes->data, bytes->size);
    fv_word word = fv_word_key(padded, bytes->size);
    word.id = id;
    *fv_tokenizer_word_slot(t, &word) = word;
}

fv_err fv_tokenizer_words_init(fv_tokenizer *t)
{
    size_t n = 0;
    for (int32_t id = 0; id < t->n_tokens; id++)
        n += t->tokens[id].kind == FV_TOKEN_ORDINARY;
    int bits = 4;
    while (((size_t)1 << bits) * 3 < n * 4)
        bits++;
    t->words = calloc((size_t)1 << bits, sizeof *t->words);
    FV_CHECK(t->words, FV_ERR_MEMORY, "%s: cannot allocate a table of %zu words", t->name, n);
    t->word_shift = 64 - bits;
    fv_buffer bytes = {0};
    fv_tokens ids = {0};
    fv_err err = FV_OK;
    for (int32_t id = 0; id < t->n_tokens; id++) {
        FV_TRY_DONE(encode_token(t, id, &bytes, &ids));
        if (ids.n == 1)
            insert(t, &bytes, ids.ids[0]);
    }
done:
    fv_buffer_fini(&bytes);
    fv_tokens_fini(&ids);
    return err;
}
