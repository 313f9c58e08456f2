/* The split rule of Qwen2, written out:
 *   (?i:'s|'t|'re|'ve|'m|'ll|'d)      a contraction
 *   | [^\r\n\p{L}\p{N}]?\p{L}+        letters, with at most one blank or mark before them
 *   | \p{N}                           one digit
 *   | ?[^\s\p{L}\p{N}]+[\r\n]*        marks, with at most one space before and the line ends after them
 *   | \s*[\r\n]+                      blanks up to the last line end among them
 *   | \s+(?!\S)                       blanks, but for the last if something follows
 *   | \s+                             one blank
 * The first rule that fits wins. */
#include "fovea/base/text/utf8.h"
#include "model/tokenizer/tokenizer_internal.h"

#define O FV_CHAR_OTHER
#define L FV_CHAR_LETTER
#define D FV_CHAR_NUMBER
#define S FV_CHAR_SPACE
#define N FV_CHAR_NEWLINE
static const uint8_t ascii[128] = {
    O, O, O, O, O, O, O, O, O, S, N, S, S, N, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O,
    S, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, D, D, D, D, D, D, D, D, D, D, O, O, O, O, O, O,
    O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O,
    O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O};
#undef O
#undef L
#undef D
#undef S
#undef N

/* The class of the character at `at` < size; *next is where the one after it starts. */
static inline fv_char_class class_at(const char *text, size_t size, size_t at, size_t *next)
{
    uint8_t byte = (uint8_t)text[at];
    *next = at + 1;
    if (byte < 0x80)
        return ascii[byte];
    uint32_t code = 0;
    *next = at + (size_t)fv_utf8_decode(text + at, size - at, &code);
    return fv_char_classify(code);
}

/* The end of the characters of one class from `at` on. */
static inline size_t skip(const char *text, size_t size, size_t at, fv_char_class class)
{
    size_t next = at;
    while (at < size && class_at(text, size, at, &next) == class)
        at = next;
    return at;
}

/* The length of the contraction at an apostrophe, or 0. Without regard to case, the long s is an s. */
static size_t contraction(const char *text, size_t size)
{
    if (size < 2)
        return 0;
    char a = (char)(text[1] | 0x20), b = size > 2 ? text[2] : '\0';
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    if (text[1] == '\xC5' && b == '\xBF')
        return 3;
    b |= 0x20;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
        return 3;
    return 0;
}

static size_t marks_end(const char *text, size_t size, size_t at)
{
    return skip(text, size, skip(text, size, at, FV_CHAR_OTHER), FV_CHAR_NEWLINE);
}

static size_t blanks_end(const char *text, size_t size, size_t at)
{
    size_t start = at, last = at, after_newline = 0, next = at;
    while (at < size) {
        fv_char_class class = class_at(text, size, at, &next);
        if (class != FV_CHAR_SPACE && class != FV_CHAR_NEWLINE)
            break;
        last = at;
        at = next;
        if (class == FV_CHAR_NEWLINE)
            after_newline = at;
    }
    if (after_newline)
        return after_newline;
    return at == size || last == start ? at : last;
}

size_t fv_split_end(const char *text, size_t size, size_t at)
{
    size_t next, after = 0;
    fv_char_class class = class_at(text, size, at, &next);
    if (class == FV_CHAR_LETTER)
        return skip(text, size, next, FV_CHAR_LETTER);
    if (class == FV_CHAR_NUMBER)
        return next;
    size_t shortened = text[at] == '\'' ? contraction(text + at, size - at) : 0;
    if (shortened)
        return at + shortened;
    fv_char_class then = next < size ? class_at(text, size, next, &after) : FV_CHAR_NEWLINE;
    if (class != FV_CHAR_NEWLINE && then == FV_CHAR_LETTER)
        return skip(text, size, after, FV_CHAR_LETTER);
    if (class == FV_CHAR_OTHER || (text[at] == ' ' && then == FV_CHAR_OTHER))
        return marks_end(text, size, next);
    return blanks_end(text, size, at);
}
