/* The wording in which a language model is asked for a verdict: YAML. Local.
 *
 *   system: text of the system message
 *   user: text with {question}, {answer} and {truth}, each exactly once, in any order
 *   verdict: score or words, the grammar of the reply (verdict.h)
 *
 * What takes the place of a placeholder is data: a JSON string with its quotes, in which also <, >, a [
 * before a letter or /, and every character without a picture are written as \uXXXX. So no answer can close
 * its quotes, start a line, or hold the text of a special token, and the words around it are the same bytes
 * whatever it says. Several accepted answers are several such strings in the place of {truth}: "a" or "b". */
#ifndef FOVEA_REWARD_JUDGE_JUDGE_PROMPT_H
#define FOVEA_REWARD_JUDGE_JUDGE_PROMPT_H

#include "fovea/base/buffer.h"
#include "fovea/reward/judge/judge.h"

typedef struct fv_judge_prompt fv_judge_prompt;

/* FV_ERR_FORMAT names file, line and key. */
fv_err fv_judge_prompt_load(const char *path, fv_judge_prompt **out);
void fv_judge_prompt_destroy(fv_judge_prompt *prompt); /* NULL is fine */

fv_grammar fv_judge_prompt_grammar(const fv_judge_prompt *prompt);
fv_slice fv_judge_prompt_system(const fv_judge_prompt *prompt); /* borrowed */

/* Append the text of the user's message. Invalid UTF-8 becomes U+FFFD. */
fv_err fv_judge_prompt_user(const fv_judge_prompt *prompt, const fv_case *asked, fv_buffer *out);

/* The same in parts: fixed 0, data 0, fixed 1, data 1, fixed 2, data 2, fixed 3. The quotes belong to the
 * fixed texts, which are the same for every case. */
enum { FV_JUDGE_PLACES = 3 };
fv_err fv_judge_prompt_fixed(const fv_judge_prompt *prompt, int place, fv_buffer *out);
fv_err fv_judge_prompt_data(const fv_judge_prompt *prompt, const fv_case *asked, int place, fv_buffer *out);

#endif
