/* Text to token ids and back, as a Hugging Face folder's tokenizer.json says. Local.
 *
 * Supported is what Qwen2, Qwen2.5 and Qwen3 use: byte-level BPE over text in Unicode normalization form C,
 * cut first at added tokens and then by the split rule of Qwen2 (src/model/tokenizer/tokenizer_split.c). Any
 * other normalizer, split rule or model is refused with FV_ERR_UNSUPPORTED. The ids are those of the
 * reference implementation's `encode` and the text that of its `decode`.
 *
 * A loaded tokenizer is never changed: any number of threads may use one at the same time. */
#ifndef FOVEA_MODEL_TOKENIZER_TOKENIZER_H
#define FOVEA_MODEL_TOKENIZER_TOKENIZER_H

#include "fovea/base/buffer.h"
#include "fovea/base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct fv_tokenizer fv_tokenizer;

/* A growing list of token ids. Starts as {0}. */
typedef struct fv_tokens {
    int32_t *ids; /* owned, (n) */
    size_t n;
    size_t capacity;
} fv_tokens;

fv_err fv_tokens_reserve(fv_tokens *tokens, size_t extra); /* FV_ERR_MEMORY leaves it as it was */
fv_err fv_tokens_push(fv_tokens *tokens, int32_t id);
void fv_tokens_fini(fv_tokens *tokens); /* back to {0} */

/* How to read a text. PLAIN is for text from users, tools and data sets: an added token such as "<|im_end|>"
 * is never recognised, its letters become ordinary pieces. MARKUP is for text that the program itself wrote.
 */
typedef enum fv_tokenize_mode { FV_TOKENIZE_PLAIN, FV_TOKENIZE_MARKUP } fv_tokenize_mode;

/* A stretch of a text with its mode. */
typedef struct fv_text_part {
    const char *text; /* borrowed, (size) bytes */
    size_t size;
    fv_tokenize_mode mode;
} fv_text_part;

/* Read folder/tokenizer.json, or vocab.json and merges.txt, with the added tokens that tokenizer_config.json,
 * special_tokens_map.json and added_tokens.json name; or a tokenizer.json from memory (name is for messages).
 * FV_ERR_FORMAT and FV_ERR_UNSUPPORTED name the key, what was found and what is expected. The caller destroys
 * *out. */
fv_err fv_tokenizer_load(const char *folder, fv_tokenizer **out);
fv_err fv_tokenizer_parse(const char *json, size_t size, const char *name, fv_tokenizer **out);
void fv_tokenizer_destroy(fv_tokenizer *tokenizer); /* NULL is fine */

/* Append the ids of a text (UTF-8; every invalid part counts as U+FFFD). No token is added around the text.
 * Time is near linear in size for any text, memory at most 40 bytes a byte (only for pieces without end).
 * FV_ERR_MEMORY leaves *out as it was. */
fv_err fv_tokenizer_encode(const fv_tokenizer *tokenizer, const char *text, size_t size,
                           fv_tokenize_mode mode, fv_tokens *out);

/* The same for one text given in parts: neighbouring parts are cut into pieces and merged as one text, but an
 * added token is recognised only where it lies whole in one MARKUP part. */
fv_err fv_tokenizer_encode_parts(const fv_tokenizer *tokenizer, const fv_text_part *parts, size_t n_parts,
                                 fv_tokens *out);

/* One more than the largest id. Ids below it may be unused. */
int32_t fv_tokenizer_size(const fv_tokenizer *tokenizer);

/* The id of a token by its text in the file ("<|im_end|>"); -1 if there is none. */
int32_t fv_tokenizer_id(const fv_tokenizer *tokenizer, const char *text);

/* The text of a token in the file: bytes of ordinary tokens appear as the printable characters of byte-level
 * BPE (a space as U+0120). Borrowed from the tokenizer; NULL if the id is unused. */
const char *fv_tokenizer_text(const fv_tokenizer *tokenizer, int32_t id);

/* 1 for a token that the file marks special, else 0. */
int fv_tokenizer_is_special(const fv_tokenizer *tokenizer, int32_t id);

/* Append the text of ids as valid UTF-8 (every invalid part becomes one U+FFFD). Unused ids, and special
 * tokens if skip_special is set, give nothing. */
fv_err fv_tokenizer_decode(const fv_tokenizer *tokenizer, const int32_t *ids, size_t n, int skip_special,
                           fv_buffer *out);

/* Decode while ids arrive. What push and flush append adds up to what fv_tokenizer_decode gives for all ids;
 * a code point is held back until its last byte has arrived. */
typedef struct fv_token_stream {
    const fv_tokenizer *tokenizer; /* borrowed */
    int skip_special;
    int n_held;
    char held[4]; /* the beginning of a code point, (n_held) bytes */
} fv_token_stream;

void fv_token_stream_init(fv_token_stream *stream, const fv_tokenizer *tokenizer, int skip_special);
fv_err fv_token_stream_push(fv_token_stream *stream, int32_t id, fv_buffer *out);
fv_err fv_token_stream_flush(fv_token_stream *stream, fv_buffer *out); /* an unfinished code point: U+FFFD */

/* A token to be added to a byte-level tokenizer. */
typedef struct fv_added_token {
    const char *text;
    int32_t id; /* 256 or more */
} fv_added_token;

/* Write tokenizer.json and tokenizer_config.json of a tokenizer without merges into an existing folder: a
 * token a byte (ids 0 to 255 are the bytes) and the special tokens given. The reference library loads the
 * folder. */
fv_err fv_tokenizer_write_bytes(const char *folder, const fv_added_token *special, size_t n_special);

#endif
