#include "fovea/base/file.h"
#include "fovea/base/text/utf8.h"
#include "model/tokenizer/tokenizer_internal.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_IDS = 1 << FV_ID_BITS }; /* far above any vocabulary, and memory grows with the largest id */

/* An id within bounds; *n_ids becomes at least one more. */
static fv_err read_id(const fv_json *value, const char *name, const char *token, int32_t *n_ids, int32_t *out)
{
    int64_t id;
    fv_err err = fv_json_to_integer(value, token, &id);
    if (err)
        return fv_error_prefix(err, "%s: the id of a token", name);
    FV_CHECK(id >= 0 && id < MAX_IDS, FV_ERR_FORMAT, "%s: the id of \"%s\" is %lld, expected 0 to %d", name,
             token, (long long)id, MAX_IDS - 1);
    if (id >= *n_ids)
        *n_ids = (int32_t)id + 1;
    *out = (int32_t)id;
    return FV_OK;
}

static fv_err count_ids(const fv_json *vocab, const fv_json *added, const char *name, int32_t *n_ids)
{
    int32_t id;
    *n_ids = 0;
    for (void *i = fv_json_first(vocab); i; i = fv_json_next(vocab, i))
        FV_TRY(read_id(fv_json_member(i), name, fv_json_key(i), n_ids, &id));
    for (size_t i = 0; i < fv_json_size(added); i++) {
        char token[48];
        snprintf(token, sizeof token, "added_tokens[%zu]", i);
        FV_TRY(read_id(fv_json_get(fv_json_at(added, i), "id"), name, token, n_ids, &id));
    }
    return FV_OK;
}

static fv_err load_vocab(fv_tokenizer *t, const fv_json *vocab)
{
    for (void *i = fv_json_first(vocab); i; i = fv_json_next(vocab, i)) {
        int64_t id;
        const char *text = fv_json_key(i);
        FV_TRY(fv_json_to_integer(fv_json_member(i), text, &id));
        FV_TRY(fv_tokenizer_table_insert(t, text, strlen(text), (int32_t)id));
    }
    for (int byte = 0; byte < 256; byte++) {
        char text[4];
        int size = fv_utf8_encode(fv_byte_char((uint8_t)byte), text);
        t->byte_id[byte] = fv_tokenizer_table_find(t, text, (size_t)size);
        FV_CHECK(t->byte_id[byte] >= 0, FV_ERR_FORMAT,
                 "%s: the vocabulary has no token \"%.*s\" for the byte 0x%02X, expected one for every byte",
                 t->name, size, text, byte);
    }
    return FV_OK;
}

/* The two halves of a merge: "a b" or ["a", "b"]. */
typedef struct halves {
    const char *text[2];
    size_t size[2];
} halves;

static fv_err read_halves(const fv_json *item, halves *out)
{
    const char *text;
    size_t size;
    if (fv_json_kind_of(item) == FV_JSON_ARRAY) {
        FV_CHECK(fv_json_size(item) == 2, FV_ERR_FORMAT, "%zu strings, expected 2", fv_json_size(item));
        FV_TRY(fv_json_to_string(fv_json_at(item, 0), "left half", &out->text[0], &out->size[0]));
        return fv_json_to_string(fv_json_at(item, 1), "right half", &out->text[1], &out->size[1]);
    }
    FV_TRY(fv_json_to_string(item, "merge", &text, &size));
    const char *space = memchr(text, ' ', size);
    FV_CHECK(space && !memchr(space + 1, ' ', size - (size_t)(space + 1 - text)), FV_ERR_FORMAT,
             "\"%s\" is not two tokens with one space between", text);
    *out = (halves){{text, space + 1}, {(size_t)(space - text), size - (size_t)(space + 1 - text)}};
    return FV_OK;
}

static fv_err load_merge(fv_tokenizer *t, const fv_json *item, uint32_t rank, fv_buffer *whole)
{
    halves half;
    int32_t id[3];
    FV_TRY(read_halves(item, &half));
    whole->size = 0;
    for (int i = 0; i < 2; i++) {
        id[i] = fv_tokenizer_table_find(t, half.text[i], half.size[i]);
        FV_CHECK(id[i] >= 0, FV_ERR_FORMAT, "\"%.*s\" is not in the vocabulary", (int)half.size[i],
                 half.text[i]);
        FV_TRY(fv_buffer_append(whole, half.text[i], half.size[i]));
    }
    id[2] = fv_tokenizer_table_find(t, whole->data, whole->size);
    FV_CHECK(id[2] >= 0, FV_ERR_FORMAT, "the whole, \"%s\", is not in the vocabulary", whole->data);
    fv_tokenizer_merge_insert(t, id[0], id[1], rank, id[2]);
    return FV_OK;
}

static fv_err load_merges(fv_tokenizer *t, const fv_json *merges)
{
    fv_buffer whole = {0};
    fv_err err = fv_tokenizer_merges_init(t, fv_json_size(merges));
    for (size_t i = 0; i < fv_json_size(merges) && !err; i++) {
        err = load_merge(t, fv_json_at(merges, i), (uint32_t)i, &whole);
        if (err)
            fv_error_prefix(err, "%s: merges[%zu]", t->name, i);
    }
    fv_buffer_fini(&whole);
    return err;
}

/* Ordinary text must never give an added token: no byte and no merge may be one. */
static fv_err check_added_unreachable(const fv_tokenizer *t)
{
    for (int byte = 0; byte < 256; byte++)
        FV_CHECK(t->tokens[t->byte_id[byte]].kind == FV_TOKEN_ORDINARY, FV_ERR_UNSUPPORTED,
                 "%s: the added token \"%s\" is also the token of the byte 0x%02X", t->name,
                 fv_tokenizer_text(t, t->byte_id[byte]), byte);
    for (uint32_t rank = 0; rank < t->n_merges; rank++)
        FV_CHECK(t->tokens[t->merged[rank]].kind == FV_TOKEN_ORDINARY, FV_ERR_UNSUPPORTED,
                 "%s: merges[%u] makes the added token \"%s\", so ordinary text could turn into it", t->name,
                 rank, fv_tokenizer_text(t, t->merged[rank]));
    return FV_OK;
}

static fv_err load(fv_tokenizer *t, const fv_json *root)
{
    FV_TRY(fv_tokenizer_check(root, t->name));
    const fv_json *model = fv_json_get(root, "model"), *added = fv_json_get(root, "added_tokens");
    const fv_json *vocab = fv_json_get(model, "vocab"), *merges = fv_json_get(model, "merges");
    FV_CHECK(vocab && fv_json_kind_of(vocab) == FV_JSON_OBJECT, FV_ERR_FORMAT,
             "%s: the model has no \"vocab\", expected an object of tokens and ids", t->name);
    FV_CHECK(merges && fv_json_kind_of(merges) == FV_JSON_ARRAY, FV_ERR_FORMAT,
             "%s: the model has no \"merges\", expected a list of pairs", t->name);
    FV_CHECK(!added || fv_json_kind_of(added) == FV_JSON_ARRAY, FV_ERR_FORMAT,
             "%s: \"added_tokens\" is not a list of tokens", t->name);
    int32_t n_ids;
    FV_TRY(count_ids(vocab, added, t->name, &n_ids));
    FV_CHECK(n_ids > 0, FV_ERR_FORMAT, "%s: the vocabulary is empty", t->name);
    FV_TRY(fv_tokenizer_table_init(t, fv_json_size(vocab) + fv_json_size(added), n_ids));
    FV_TRY(load_vocab(t, vocab));
    FV_TRY(load_merges(t, merges));
    FV_TRY(fv_tokenizer_added_load(t, added));
    FV_TRY(check_added_unreachable(t));
    return fv_tokenizer_words_init(t);
}

static fv_err build(const fv_json *root, const char *name, fv_tokenizer **out)
{
    fv_tokenizer *t = calloc(1, sizeof *t);
    FV_CHECK(t, FV_ERR_MEMORY, "%s: cannot allocate a tokenizer", name);
    t->name = strdup(name);
    fv_err err = t->name ? load(t, root) : FV_FAIL(FV_ERR_MEMORY, "%s: cannot allocate a tokenizer", name);
    if (err) {
        fv_tokenizer_destroy(t);
        return fv_error_pass(err, __func__);
    }
    *out = t;
    return FV_OK;
}

fv_err fv_tokenizer_load(const char *folder, fv_tokenizer **out)
{
    char path[PATH_MAX];
    fv_json *root;
    *out = NULL;
    FV_TRY(fv_file_path(path, sizeof path, folder, "tokenizer.json"));
    if (!fv_file_exists(path))
        FV_TRY(fv_file_path(path, sizeof path, folder, "vocab.json"));
    FV_TRY(fv_tokenizer_describe(folder, &root));
    fv_err err = build(root, path, out);
    fv_json_destroy(root);
    return err;
}

fv_err fv_tokenizer_parse(const char *json, size_t size, const char *name, fv_tokenizer **out)
{
    fv_json *root;
    *out = NULL;
    FV_TRY(fv_json_parse(json, size, name, &root));
    fv_err err = build(root, name, out);
    fv_json_destroy(root);
    return err;
}

void fv_tokenizer_destroy(fv_tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    fv_tokenizer_added_fini(&tokenizer->raw);
    fv_tokenizer_added_fini(&tokenizer->normalized);
    fv_buffer_fini(&tokenizer->text);
    free(tokenizer->tokens);
    free(tokenizer->by_text);
    free(tokenizer->merges);
    free(tokenizer->merged);
    free(tokenizer->words);
    free(tokenizer->name);
    free(tokenizer);
}
