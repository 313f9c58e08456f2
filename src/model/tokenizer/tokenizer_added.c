/* Added tokens: read from the file, and found in text. */
#include "fovea/base/text/utf8.h"
#include "model/tokenizer/tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

static fv_err add(fv_added_set *set, const fv_added *token, const char *text, size_t size)
{
    fv_added *items = realloc(set->items, (set->n + 1) * sizeof *items);
    FV_CHECK(items, FV_ERR_MEMORY, "cannot allocate %zu added tokens", set->n + 1);
    set->items = items;
    items[set->n] = *token;
    items[set->n].text = malloc(size + 1);
    FV_CHECK(items[set->n].text, FV_ERR_MEMORY, "cannot allocate an added token of %zu bytes", size);
    memcpy(items[set->n].text, text, size);
    items[set->n++].size = size;
    return FV_OK;
}

/* The reference looks for a token marked "normalized" in normalized text, in normalized form itself. */
static fv_err add_normalized(fv_added_set *set, const fv_added *token, const char *text, size_t size)
{
    fv_buffer normal = {0};
    fv_err err = FV_OK;
    FV_TRY_DONE(fv_nfc_append(&normal, text, size));
    FV_TRY_DONE(add(set, token, normal.data, normal.size));
done:
    fv_buffer_fini(&normal);
    return err;
}

static fv_err read_flags(const fv_json *item, fv_added *token, int *special, int *normalized)
{
    int lstrip = 0, rstrip = 0, single_word = 0;
    FV_TRY(fv_json_get_bool(item, "special", special));
    *normalized = !*special;
    FV_TRY(fv_json_get_bool(item, "normalized", normalized));
    FV_TRY(fv_json_get_bool(item, "lstrip", &lstrip));
    FV_TRY(fv_json_get_bool(item, "rstrip", &rstrip));
    FV_TRY(fv_json_get_bool(item, "single_word", &single_word));
    token->lstrip = (uint8_t)lstrip;
    token->rstrip = (uint8_t)rstrip;
    token->single_word = (uint8_t)single_word;
    return FV_OK;
}

static fv_err load_one(fv_tokenizer *t, const fv_json *item)
{
    fv_added token = {0};
    int special = 0, normalized = 0;
    const char *text;
    size_t size;
    int64_t id;
    FV_TRY(fv_json_to_string(fv_json_get(item, "content"), "content", &text, &size));
    FV_TRY(fv_json_require_integer(item, "id", &id));
    FV_TRY(read_flags(item, &token, &special, &normalized));
    FV_CHECK(size > 0 && !memchr(text, 0, size), FV_ERR_FORMAT,
             "the content is empty or holds a NUL, expected some text");
    int32_t known = fv_tokenizer_table_find(t, text, size);
    if (known < 0) {
        FV_TRY(fv_tokenizer_table_insert(t, text, size, (int32_t)id));
        known = (int32_t)id;
    }
    FV_CHECK(known == id, FV_ERR_FORMAT, "\"%s\" has the id %lld, but %d in the vocabulary", text,
             (long long)id, known);
    FV_CHECK(t->tokens[id].kind == FV_TOKEN_ORDINARY, FV_ERR_FORMAT, "\"%s\" is given twice", text);
    t->tokens[id].kind = special ? FV_TOKEN_SPECIAL : FV_TOKEN_ADDED;
    token.id = (int32_t)id;
    return normalized ? add_normalized(&t->normalized, &token, text, size) : add(&t->raw, &token, text, size);
}

static int compare(const void *a, const void *b)
{
    const fv_added *x = a, *y = b;
    if (x->text[0] != y->text[0])
        return (uint8_t)x->text[0] < (uint8_t)y->text[0] ? -1 : 1;
    return x->size > y->size ? -1 : x->size < y->size;
}

static void index_set(fv_added_set *set)
{
    if (set->n)
        qsort(set->items, set->n, sizeof *set->items, compare);
    for (size_t i = 0; i < set->n; i++)
        set->first[(uint8_t)set->items[i].text[0] + 1]++;
    for (int byte = 0; byte < 256; byte++)
        set->first[byte + 1] += set->first[byte];
}

fv_err fv_tokenizer_added_load(fv_tokenizer *t, const fv_json *array)
{
    for (size_t i = 0; i < fv_json_size(array); i++) {
        fv_err err = load_one(t, fv_json_at(array, i));
        if (err)
            return fv_error_prefix(err, "%s: added_tokens[%zu]", t->name, i);
    }
    index_set(&t->raw);
    index_set(&t->normalized);
    return FV_OK;
}

void fv_tokenizer_added_fini(fv_added_set *set)
{
    for (size_t i = 0; i < set->n; i++)
        free(set->items[i].text);
    free(set->items);
}

/* The longest token of the set that stands at `at`; NULL if none does. */
static const fv_added *token_at(const fv_added_set *set, const char *text, size_t size, size_t at)
{
    uint8_t byte = (uint8_t)text[at];
    for (uint32_t i = set->first[byte]; i < set->first[byte + 1]; i++) {
        const fv_added *token = &set->items[i];
        if (token->size <= size - at && memcmp(token->text, text + at, token->size) == 0)
            return token;
    }
    return NULL;
}

static size_t previous(const char *text, size_t at)
{
    do
        at--;
    while (at > 0 && ((uint8_t)text[at] & 0xC0) == 0x80);
    return at;
}

static int is_word_at(const char *text, size_t size, size_t at)
{
    uint32_t code;
    return fv_utf8_decode(text + at, size - at, &code) > 0 && fv_char_is_word(code);
}

static int is_blank_at(const char *text, size_t size, size_t at)
{
    uint32_t code;
    return fv_utf8_decode(text + at, size - at, &code) > 0 && fv_char_classify(code) >= FV_CHAR_SPACE;
}

static int stands_alone(const char *text, size_t size, size_t start, size_t end)
{
    return (start == 0 || !is_word_at(text, size, previous(text, start))) &&
           (end == size || !is_word_at(text, size, end));
}

int fv_added_find(const fv_added_set *set, const char *text, size_t size, size_t *seek, fv_added_match *match)
{
    size_t from = *seek;
    for (size_t at = from; at < size; at++) {
        const fv_added *token = token_at(set, text, size, at);
        if (!token)
            continue;
        size_t end = at + token->size;
        if (token->single_word && !stands_alone(text, size, at, end)) {
            at = end - 1;
            continue;
        }
        *match = (fv_added_match){token->id, at, end};
        while (token->lstrip && match->start > from && is_blank_at(text, size, previous(text, match->start)))
            match->start = previous(text, match->start);
        while (token->rstrip && match->end < size && is_blank_at(text, size, match->end))
            match->end += (size_t)fv_utf8_decode(text + match->end, size - match->end, NULL);
        *seek = match->end;
        return 1;
    }
    return 0;
}
