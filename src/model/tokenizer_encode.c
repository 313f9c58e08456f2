/* Text to ids: added tokens cut the text into runs; a run is normalized, split into pieces, and each piece is
 * merged, with a small cache for the words that come again. */
#include "fovea/utf8.h"
#include "model/tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

enum { WORD_BYTES = 16, WORD_IDS = 3, MIN_CACHE_BITS = 6, MAX_CACHE_BITS = 15 };

typedef struct word {
    uint64_t key[2]; /* the bytes, filled up with zeros */
    int32_t ids[WORD_IDS];
    uint8_t size; /* bytes; 0 if the slot is empty */
    uint8_t n;
} word;

typedef struct encoder {
    const fv_tokenizer *t;
    fv_tokens *out;
    word *cache; /* (1 << (64 - cache_shift)), one slot a hash */
    int cache_shift;
    fv_buffer run;     /* text since the last added token, valid UTF-8 */
    fv_buffer scratch; /* a text made valid or normalized */
} encoder;

static fv_err encoder_init(encoder *e, const fv_tokenizer *t, size_t size, fv_tokens *out)
{
    int bits = MIN_CACHE_BITS;
    while (bits < MAX_CACHE_BITS && size >> (bits + 4))
        bits++;
    *e = (encoder){.t = t, .out = out, .cache_shift = 64 - bits};
    e->cache = calloc((size_t)1 << bits, sizeof *e->cache);
    FV_CHECK(e->cache, FV_ERR_MEMORY, "cannot allocate a cache of %d words", 1 << bits);
    return FV_OK;
}

static void encoder_fini(encoder *e)
{
    free(e->cache);
    fv_buffer_fini(&e->run);
    fv_buffer_fini(&e->scratch);
}

/* size is 1 to WORD_BYTES; WORD_BYTES can be read at text. */
static inline void read_key(const char *text, size_t size, uint64_t key[2])
{
    memcpy(key, text, WORD_BYTES);
    if (size <= 8) {
        key[0] &= UINT64_MAX >> (64 - 8 * size);
        key[1] = 0;
    } else {
        key[1] &= UINT64_MAX >> (128 - 8 * size);
    }
}

static inline fv_err encode_word(encoder *e, const char *text, size_t size)
{
    uint64_t key[2];
    read_key(text, size, key);
    uint64_t hash = (key[0] ^ key[1] * 0xA24BAED4963EE407u) * 0x9E3779B97F4A7C15u;
    word *slot = &e->cache[hash >> e->cache_shift];
    FV_TRY(fv_tokens_reserve(e->out, WORD_BYTES));
    int32_t *ids = e->out->ids + e->out->n;
    if (slot->key[0] == key[0] && slot->key[1] == key[1] && slot->size == size) {
        memcpy(ids, slot->ids, sizeof slot->ids);
        e->out->n += slot->n;
        return FV_OK;
    }
    size_t before = e->out->n;
    FV_TRY(fv_bpe_append(e->t, text, size, e->out));
    size_t n = e->out->n - before;
    if (n > WORD_IDS)
        return FV_OK;
    *slot = (word){.key = {key[0], key[1]}, .size = (uint8_t)size, .n = (uint8_t)n};
    memcpy(slot->ids, ids, n * sizeof *ids);
    return FV_OK;
}

/* text is normalized, and WORD_BYTES after it can be read. */
static fv_err encode_pieces(encoder *e, const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t end = fv_split_end(text, size, at);
        if (end - at <= WORD_BYTES)
            FV_TRY(encode_word(e, text + at, end - at));
        else
            FV_TRY(fv_bpe_append(e->t, text + at, end - at, e->out));
        at = end;
    }
    return FV_OK;
}

static fv_err flush(encoder *e)
{
    e->scratch.size = 0;
    FV_TRY(fv_nfc_append(&e->scratch, e->run.data, e->run.size));
    FV_TRY(fv_buffer_reserve(&e->scratch, WORD_BYTES));
    e->run.size = 0;
    return encode_pieces(e, e->scratch.data, e->scratch.size);
}

static fv_err emit(encoder *e, int32_t id)
{
    FV_TRY(flush(e));
    return fv_tokens_push(e->out, id);
}

/* What does one stretch of markup text between two added tokens. */
typedef fv_err (*stretch_fn)(encoder *e, const char *text, size_t size);

static fv_err scan(encoder *e, const fv_added_set *set, const char *text, size_t size, stretch_fn stretch)
{
    size_t at = 0;
    fv_added_match match;
    for (size_t start = 0; fv_added_find(set, text, size, &at, &match); start = match.end) {
        FV_TRY(stretch(e, text + start, match.start - start));
        FV_TRY(emit(e, match.id));
    }
    return stretch(e, text + at, size - at);
}

static fv_err append_plain(encoder *e, const char *text, size_t size)
{
    return fv_utf8_append_valid(&e->run, text, size);
}

static fv_err append_normalized(encoder *e, const char *text, size_t size)
{
    fv_buffer valid = {0}, normal = {0};
    fv_err err = FV_OK;
    FV_TRY_DONE(fv_utf8_append_valid(&valid, text, size));
    FV_TRY_DONE(fv_nfc_append(&normal, valid.data, valid.size));
    FV_TRY_DONE(scan(e, &e->t->normalized, normal.data, normal.size, append_plain));
done:
    fv_buffer_fini(&valid);
    fv_buffer_fini(&normal);
    return err;
}

static fv_err append_part(encoder *e, const fv_text_part *part)
{
    if (part->mode == FV_TOKENIZE_PLAIN)
        return append_plain(e, part->text, part->size);
    stretch_fn stretch = e->t->normalized.n ? append_normalized : append_plain;
    return scan(e, &e->t->raw, part->text, part->size, stretch);
}

fv_err fv_tokenizer_encode_parts(const fv_tokenizer *tokenizer, const fv_text_part *parts, size_t n_parts,
                                 fv_tokens *out)
{
    encoder e;
    size_t size = 0, n_before = out->n;
    for (size_t i = 0; i < n_parts; i++)
        size += parts[i].size;
    fv_err err = FV_OK;
    FV_TRY(encoder_init(&e, tokenizer, size, out));
    for (size_t i = 0; i < n_parts; i++)
        FV_TRY_DONE(append_part(&e, &parts[i]));
    FV_TRY_DONE(flush(&e));
done:
    encoder_fini(&e);
    if (err)
        out->n = n_before;
    return err;
}

fv_err fv_tokenizer_encode(const fv_tokenizer *tokenizer, const char *text, size_t size,
                           fv_tokenize_mode mode, fv_tokens *out)
{
    fv_text_part part = {text, size, mode};
    return fv_tokenizer_encode_parts(tokenizer, &part, 1, out);
}
