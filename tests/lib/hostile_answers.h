/* Answers that try to be more than data to a judge. */
#ifndef FOVEA_HOSTILE_ANSWERS_H
#define FOVEA_HOSTILE_ANSWERS_H

#include "test.h"

#include "fovea/base/buffer.h"

enum { N_HOSTILE = 10000, N_HOSTILE_LONG = 45 };

/* Answer i of N_HOSTILE: some pieces in a row. */
void hostile_answer(uint32_t i, fv_buffer *out);

/* Answer i of N_HOSTILE_LONG: one piece again and again, of some up to 1 MB. */
void hostile_long_answer(int i, fv_buffer *out);

#endif
