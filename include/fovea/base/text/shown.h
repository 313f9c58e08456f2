/* Text of models, data and names as it may stand on a terminal or in a line of a log: what would move the
 * cursor, change the direction of letters or end the line stands there as an escape, "\n", "\x1b", "\u202e",
 * and a byte that is no UTF-8 as "\xff". Local. */
#ifndef FOVEA_BASE_SHOWN_H
#define FOVEA_BASE_SHOWN_H

#include <stddef.h>

enum { FV_SHOWN_BYTES = 8 }; /* of one character, with a NUL */

/* The character at text[0..size), size at least 1, shown in out; returns how many bytes it takes, or 0 if
 * they are the beginning of a character that is not all there. With keeps_lines line feeds and tabs stay. */
size_t fv_shown_next(const char *text, size_t size, int keeps_lines, char out[FV_SHOWN_BYTES]);

/* As one line, cut before what has no room. out may not overlap text. */
void fv_shown_line(const char *text, char *out, size_t size);

#endif
