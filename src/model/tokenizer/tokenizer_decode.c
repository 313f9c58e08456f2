#include "fovea/base/text/utf8.h"
#include "model/tokenizer/tokenizer_internal.h"

#include <string.h>

/* Byte-level BPE writes printable bytes of Latin-1 as themselves and the other 68, in order, as U+0100 on. */
static int is_printable(uint32_t byte)
{
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

uint32_t fv_byte_char(uint8_t byte)
{
    if (is_printable(byte))
        return byte;
    if (byte <= 0x20)
        return 0x100u + byte;
    return byte == 0xAD ? 0x143 : 0x121u + (byte - 0x7Fu);
}

/* The byte that a code point stands for; -1 if it stands for none. */
static int char_byte(uint32_t code)
{
    if (code < 0x100)
        return is_printable(code) ? (int)code : -1;
    if (code <= 0x120)
        return (int)(code - 0x100);
    if (code <= 0x142)
        return (int)(code - 0x121 + 0x7F);
    return code == 0x143 ? 0xAD : -1;
}

/* As the reference does: a text with a character that stands for no byte is taken as it is. */
fv_err fv_token_append_bytes(const fv_tokenizer *t, int32_t id, fv_buffer *out)
{
    const fv_token_entry *token = &t->tokens[id];
    const char *text = t->text.data + token->offset;
    FV_TRY(fv_buffer_reserve(out, token->size));
    char *to = out->data + out->size;
    for (size_t at = 0; at < token->size;) {
        uint32_t code = 0;
        at += (size_t)fv_utf8_decode(text + at, token->size - at, &code);
        int byte = char_byte(code);
        if (byte < 0)
            return fv_buffer_append(out, text, token->size);
        *to++ = (char)byte;
    }
    *to = '\0';
    out->size = (size_t)(to - out->data);
    return FV_OK;
}

int32_t fv_tokenizer_size(const fv_tokenizer *tokenizer)
{
    return tokenizer->n_tokens;
}

int32_t fv_tokenizer_id(const fv_tokenizer *tokenizer, const char *text)
{
    return fv_tokenizer_table_find(tokenizer, text, strlen(text));
}

static int is_used(const fv_tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->n_tokens && t->tokens[id].kind != FV_TOKEN_UNUSED;
}

const char *fv_tokenizer_text(const fv_tokenizer *tokenizer, int32_t id)
{
    return is_used(tokenizer, id) ? tokenizer->text.data + tokenizer->tokens[id].offset : NULL;
}

int fv_tokenizer_is_special(const fv_tokenizer *tokenizer, int32_t id)
{
    return is_used(tokenizer, id) && tokenizer->tokens[id].kind == FV_TOKEN_SPECIAL;
}

void fv_token_stream_init(fv_token_stream *stream, const fv_tokenizer *tokenizer, int skip_special)
{
    *stream = (fv_token_stream){.tokenizer = tokenizer, .skip_special = skip_special};
}

/* How many bytes at the end begin a code point that has not ended. */
static int unfinished(const char *text, size_t size)
{
    for (int n = 1; n <= 3 && (size_t)n <= size; n++)
        if (fv_utf8_decode(text + size - n, (size_t)n, NULL) == 0)
            return n;
    return 0;
}

fv_err fv_token_stream_push(fv_token_stream *stream, int32_t id, fv_buffer *out)
{
    const fv_tokenizer *t = stream->tokenizer;
    if (!is_used(t, id) || (stream->skip_special && fv_tokenizer_is_special(t, id)))
        return FV_OK;
    fv_buffer bytes = {0};
    fv_err err = FV_OK;
    FV_TRY_DONE(fv_buffer_append(&bytes, stream->held, (size_t)stream->n_held));
    FV_TRY_DONE(fv_token_append_bytes(t, id, &bytes));
    int n_held = unfinished(bytes.data, bytes.size);
    FV_TRY_DONE(fv_buffer_append_valid(out, bytes.data, bytes.size - (size_t)n_held));
    memcpy(stream->held, bytes.data + bytes.size - n_held, (size_t)n_held);
    stream->n_held = n_held;
done:
    fv_buffer_fini(&bytes);
    return err;
}

fv_err fv_token_stream_flush(fv_token_stream *stream, fv_buffer *out)
{
    size_t n = (size_t)stream->n_held;
    stream->n_held = 0;
    return fv_buffer_append_valid(out, stream->held, n);
}

fv_err fv_tokenizer_decode(const fv_tokenizer *tokenizer, const int32_t *ids, size_t n, int skip_special,
                           fv_buffer *out)
{
    fv_buffer bytes = {0};
    fv_err err = FV_OK;
    for (size_t i = 0; i < n; i++)
        if (is_used(tokenizer, ids[i]) && !(skip_special && fv_tokenizer_is_special(tokenizer, ids[i])))
            FV_TRY_DONE(fv_token_append_bytes(tokenizer, ids[i], &bytes));
    FV_TRY_DONE(fv_buffer_append_valid(out, bytes.data, bytes.size));
done:
    fv_buffer_fini(&bytes);
    return err;
}
