/* The wording around a question: YAML with placeholders, so that the wording is configuration. Local.
 *
 *   system: text of the system message (may be empty)
 *   user: text with {image} and {question}, each exactly once
 *   tool_result: text with {image} exactly once: shown after a call of the tool; absent if there is no tool
 *   tool_error: text with {error} exactly once: shown after a malformed call; absent if there is no tool
 *
 * The file's own text may hold added tokens ("<tool_call>"); what takes the place of a placeholder never
 * becomes one. All other braces are text. */
#ifndef FOVEA_TRAIN_PROMPT_TEMPLATE_H
#define FOVEA_TRAIN_PROMPT_TEMPLATE_H

#include "fovea/model/tokenizer/chat.h"

typedef struct fv_prompts fv_prompts;

/* FV_ERR_FORMAT names file, line and key: unknown keys, missing, misplaced or repeated placeholders. */
fv_err fv_prompts_load(const char *path, fv_prompts **out);
void fv_prompts_destroy(fv_prompts *prompts); /* NULL is fine */

/* 1 if both texts of the tool are there. */
int fv_prompts_has_tool(const fv_prompts *prompts);

/* Append the ids of a conversation's beginning, up to where the assistant speaks. n_image_tokens 0: a
 * question without an image, whose {image} is left out. */
fv_err fv_prompts_start(const fv_prompts *prompts, const fv_chat *chat, fv_text_part question,
                        int64_t n_image_tokens, fv_tokens *out);

/* Append what follows a turn that ended with <|im_end|>: the tool's image, or what was wrong with the call;
 * again up to where the assistant speaks. FV_ERR_ARGUMENT without a tool. */
fv_err fv_prompts_tool_result(const fv_prompts *prompts, const fv_chat *chat, int64_t n_image_tokens,
                              fv_tokens *out);
fv_err fv_prompts_tool_error(const fv_prompts *prompts, const fv_chat *chat, const char *error,
                             fv_tokens *out);

#endif
