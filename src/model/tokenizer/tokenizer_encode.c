/* Text to ids: added tokens cut the text into runs; a run is normalized and split into pieces, and a piece is
 * a known word or merged. */
#include "fovea/base/text/utf8.h"
#include "model/tokenizer/tokenizer_internal.h"

typedef struct encoder {
    const fv_tokenizer *t;
    fv_tokens *out;
    fv_buffer run;     /* text since the last added token, valid UTF-8 */
    fv_buffer scratch; /* a text made valid or normalized */
} encoder;

/* A piece, and its key if it may be a word. */
typedef struct piece {
    const char *text;
    size_t size;
    fv_word word;
} piece;

/* FV_WORD_BYTES can be read at text. */
static piece make_piece(const fv_tokenizer *t, const char *text, size_t size)
{
    piece p = {text, size, {{0}}};
    if (size <= FV_WORD_BYTES) {
        p.word = fv_word_key(text, size);
        fv_tokenizer_word_prefetch(t, &p.word);
    }
    return p;
}

static fv_err encode_piece(const fv_tokenizer *t, const piece *p, fv_tokens *out)
{
    const fv_word *known = p->word.size ? fv_tokenizer_word_slot(t, &p->word) : NULL;
    return known && known->size ? fv_tokens_push(out, known->id) : fv_bpe_append(t, p->text, p->size, out);
}

/* text is normalized, and FV_WORD_BYTES after it can be read. Pieces are cut a few ahead, so that the table's
 * memory, which is larger than a cache, is on its way when a word is looked up. */
static fv_err encode_pieces(encoder *e, const char *text, size_t size)
{
    enum { AHEAD = 16 };
    piece pieces[AHEAD];
    for (size_t at = 0, end; at < size;) {
        int n = 0;
        for (; n < AHEAD && at < size; n++, at = end) {
            end = fv_split_end(text, size, at);
            pieces[n] = make_piece(e->t, text + at, end - at);
        }
        for (int i = 0; i < n; i++)
            FV_TRY(encode_piece(e->t, &pieces[i], e->out));
    }
    return FV_OK;
}

static fv_err flush(encoder *e)
{
    e->scratch.size = 0;
    FV_TRY(fv_nfc_append(&e->scratch, e->run.data, e->run.size));
    FV_TRY(fv_buffer_reserve(&e->scratch, FV_WORD_BYTES));
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
    return fv_buffer_append_valid(&e->run, text, size);
}

static fv_err append_normalized(encoder *e, const char *text, size_t size)
{
    fv_buffer valid = {0}, normal = {0};
    fv_err err = FV_OK;
    FV_TRY_DONE(fv_buffer_append_valid(&valid, text, size));
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
    encoder e = {.t = tokenizer, .out = out};
    size_t n_before = out->n;
    fv_err err = FV_OK;
    for (size_t i = 0; i < n_parts; i++)
        FV_TRY_DONE(append_part(&e, &parts[i]));
    FV_TRY_DONE(flush(&e));
done:
    fv_buffer_fini(&e.run);
    fv_buffer_fini(&e.scratch);
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
