/* What the files of the tokenizer share. */
#ifndef FOVEA_SRC_MODEL_TOKENIZER_TOKENIZER_INTERNAL_H
#define FOVEA_SRC_MODEL_TOKENIZER_TOKENIZER_INTERNAL_H

#include "fovea/io/json.h"
#include "fovea/model/tokenizer/tokenizer.h"

#include <string.h>

#define FV_QWEN2_SPLIT                                                                                  \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" \
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

enum { FV_TOKEN_UNUSED, FV_TOKEN_ORDINARY, FV_TOKEN_ADDED, FV_TOKEN_SPECIAL };

typedef struct fv_token_entry {
    uint32_t offset; /* of the text, in fv_tokenizer.text; a NUL follows it */
    uint32_t size : 30;
    uint32_t kind : 2;
} fv_token_entry;

/* The table of merges: a slot is a pair of ids and its rank in one number, or FV_EMPTY_SLOT. It must stay
 * small, as merging is a walk through it in no order. */
enum { FV_ID_BITS = 21, FV_RANK_BITS = 22 };
#define FV_EMPTY_SLOT UINT64_MAX
#define FV_NO_MERGE UINT32_MAX

/* A word of 1 to FV_WORD_BYTES bytes that is one token. An empty slot has size 0. */
enum { FV_WORD_BYTES = 16 };
typedef struct fv_word {
    uint64_t key[2]; /* the bytes, filled up with zeros */
    uint32_t size;
    int32_t id;
} fv_word;

/* An added token as it is looked for in text. */
typedef struct fv_added {
    char *text; /* owned; normalized if it is looked for in normalized text */
    size_t size;
    int32_t id;
    uint8_t lstrip, rstrip, single_word;
} fv_added;

/* Sorted by first byte, then longest first; first[b] to first[b + 1] are those that start with byte b. */
typedef struct fv_added_set {
    fv_added *items; /* owned, (n) */
    size_t n;
    uint32_t first[257];
} fv_added_set;

struct fv_tokenizer {
    char *name;
    fv_buffer text;
    fv_token_entry *tokens; /* (n_tokens) */
    int32_t n_tokens;
    int32_t *by_text; /* open addressing over token texts: id or -1, (text_mask + 1) */
    size_t text_mask;
    uint64_t *merges; /* open addressing, (1 << (64 - merge_shift)) */
    int merge_shift;
    int32_t *merged; /* (n_merges) what a merge makes, by rank */
    uint32_t n_merges;
    int32_t byte_id[256];
    fv_word *words; /* open addressing, (1 << (64 - word_shift)) */
    int word_shift;
    fv_added_set raw;        /* looked for in the text as given */
    fv_added_set normalized; /* looked for after normalization */
};

/* tokenizer_folder.c: what a folder's files say together, as one tokenizer.json would. The caller destroys
 * it. */
fv_err fv_tokenizer_describe(const char *folder, fv_json **out);

/* tokenizer_write.c: a tokenizer.json of Qwen2's kind without tokens and merges. The caller destroys it. */
fv_err fv_tokenizer_make_frame(fv_json **out);

/* tokenizer_check.c: refuse what is not supported. */
fv_err fv_tokenizer_check(const fv_json *root, const char *name);

/* tokenizer_table.c */
fv_err fv_tokenizer_table_init(fv_tokenizer *t, size_t n_tokens, int32_t n_ids); /* n_tokens texts at most */
fv_err fv_tokenizer_table_insert(fv_tokenizer *t, const char *text, size_t size, int32_t id);
int32_t fv_tokenizer_table_find(const fv_tokenizer *t, const char *text, size_t size);
fv_err fv_tokenizer_merges_init(fv_tokenizer *t, size_t n_merges);
void fv_tokenizer_merge_insert(fv_tokenizer *t, int32_t left, int32_t right, uint32_t rank, int32_t merged);

/* The slot of a pair, or the empty one where it belongs. */
static inline uint64_t *fv_tokenizer_merge_slot(const fv_tokenizer *t, int32_t left, int32_t right)
{
    uint64_t pair = (uint64_t)(uint32_t)left << FV_ID_BITS | (uint32_t)right;
    size_t mask = SIZE_MAX >> t->merge_shift;
    size_t i = (size_t)(pair * 0x9E3779B97F4A7C15u >> t->merge_shift);
    while (t->merges[i] >> FV_RANK_BITS != pair && t->merges[i] != FV_EMPTY_SLOT)
        i = (i + 1) & mask;
    return &t->merges[i];
}

/* The rank of a pair's merge, lower merges first; FV_NO_MERGE if it has none. */
static inline uint32_t fv_tokenizer_merge_rank(const fv_tokenizer *t, int32_t left, int32_t right)
{
    uint64_t slot = *fv_tokenizer_merge_slot(t, left, right);
    return slot == FV_EMPTY_SLOT ? FV_NO_MERGE : (uint32_t)slot & ((1u << FV_RANK_BITS) - 1);
}

/* tokenizer_words.c: fill the table of words; after all else is loaded. */
fv_err fv_tokenizer_words_init(fv_tokenizer *t);

/* size is 1 to FV_WORD_BYTES; FV_WORD_BYTES can be read at text. The id is left 0. */
static inline fv_word fv_word_key(const char *text, size_t size)
{
    fv_word word = {.size = (uint32_t)size};
    memcpy(word.key, text, FV_WORD_BYTES);
    if (size <= 8) {
        word.key[0] &= UINT64_MAX >> (64 - 8 * size);
        word.key[1] = 0;
    } else {
        word.key[1] &= UINT64_MAX >> (128 - 8 * size);
    }
    return word;
}

/* Where a word is looked for first. */
static inline size_t fv_tokenizer_word_start(const fv_tokenizer *t, const fv_word *word)
{
    uint64_t hash = (word->key[0] ^ word->key[1] * 0xA24BAED4963EE407u) * 0x9E3779B97F4A7C15u;
    return (size_t)(hash >> t->word_shift);
}

/* Have that place brought near: a hint. */
static inline void fv_tokenizer_word_prefetch(const fv_tokenizer *t, const fv_word *word)
{
    __builtin_prefetch(&t->words[fv_tokenizer_word_start(t, word)]);
}

/* The slot of a word, or the empty one where it belongs. */
static inline fv_word *fv_tokenizer_word_slot(const fv_tokenizer *t, const fv_word *word)
{
    size_t mask = SIZE_MAX >> t->word_shift;
    for (size_t i = fv_tokenizer_word_start(t, word);; i = (i + 1) & mask) {
        fv_word *slot = &t->words[i];
        if (!slot->size ||
            (slot->key[0] == word->key[0] && slot->key[1] == word->key[1] && slot->size == word->size))
            return slot;
    }
}

/* tokenizer_added.c */
fv_err fv_tokenizer_added_load(fv_tokenizer *t, const fv_json *array);
void fv_tokenizer_added_fini(fv_added_set *set);
typedef struct fv_added_match {
    int32_t id;
    size_t start, end; /* what it takes from the text, stripped blanks included */
} fv_added_match;
/* The first match that starts at `from` or later; *seek is where to look next. Returns 0 if there is none. */
int fv_added_find(const fv_added_set *set, const char *text, size_t size, size_t *seek,
                  fv_added_match *match);

/* tokenizer_unicode.c: text is valid UTF-8. */
typedef enum fv_char_class {
    FV_CHAR_OTHER,
    FV_CHAR_LETTER,
    FV_CHAR_NUMBER,
    FV_CHAR_SPACE,
    FV_CHAR_NEWLINE
} fv_char_class;
fv_char_class fv_char_classify(uint32_t code);
int fv_char_is_word(uint32_t code); /* \w */
fv_err fv_nfc_append(fv_buffer *out, const char *text, size_t size);

/* tokenizer_split.c: the end of the piece that starts at `at` < size. */
size_t fv_split_end(const char *text, size_t size, size_t at);

/* tokenizer_bpe.c: append the ids of a piece. */
fv_err fv_bpe_append(const fv_tokenizer *t, const char *piece, size_t size, fv_tokens *out);

/* tokenizer_decode.c: the code point that stands for a byte in token texts; append the bytes of a token. */
uint32_t fv_byte_char(uint8_t byte);
fv_err fv_token_append_bytes(const fv_tokenizer *t, int32_t id, fv_buffer *out);

#endif
