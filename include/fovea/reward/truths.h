/* The accepted answers to one question. Local.
 *
 * As one piece of text they lie behind each other, with a NUL between two of them; the texts themselves hold
 * none. So one accepted answer is its own text. In JSON, one is a string, several are a list of strings. */
#ifndef FOVEA_REWARD_TRUTHS_H
#define FOVEA_REWARD_TRUTHS_H

#include "fovea/base/buffer.h"
#include "fovea/io/json.h"
#include "fovea/base/text/slice.h"

/* Take the first of rest; 0 if there is none left. */
int fv_truths_next(fv_slice *rest, fv_slice *one);

/* Append an accepted answer, unless it is there already. FV_ERR_FORMAT if it holds a NUL. */
fv_err fv_truths_add(fv_buffer *truths, fv_slice text);

fv_err fv_truths_to_json(fv_slice truths, fv_json **out);
fv_err fv_truths_from_json(const fv_json *value, const char *name, fv_buffer *out); /* name is for messages */

#endif
