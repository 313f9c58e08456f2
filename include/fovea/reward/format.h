/* The form of an answer: what a turn does, whether the whole keeps to the rules, and where the answer proper
 * stands. Local.
 *
 * A turn is the text that the model generated for it, without the end-of-turn token. Tags: <think></think>,
 * <answer></answer>, <tool_call></tool_call>. The only tool is
 *
 *     {"name": "resize_image", "arguments": {"action": "resize"}}
 *
 * in any layout and order of keys; members that it does not know are ignored. White space is ASCII's. */
#ifndef FOVEA_REWARD_FORMAT_H
#define FOVEA_REWARD_FORMAT_H

#include "fovea/base/text/slice.h"

/* What a turn does is what its last opening tag, <answer> or <tool_call>, says: reasoning may name the other.
 */
typedef enum fv_turn_act {
    FV_TURN_NEITHER, /* no such tag: cut by the length limit, empty, or plain text */
    FV_TURN_ANSWER,  /* closed or not */
    FV_TURN_CALL,
    FV_TURN_BAD_CALL
} fv_turn_act;

typedef struct fv_parsed_turn {
    fv_turn_act act;
    const char *reason; /* of a bad call, one sentence for the tool's error turn; static. Else NULL */
} fv_parsed_turn;

fv_parsed_turn fv_turn_parse(fv_slice text);

/* Whether any turn holds <tool_call>: textual, so a malformed call counts too. */
int fv_turns_called(const fv_slice *turns, int n_turns);

typedef enum fv_product {
    /* One turn: think pair, answer pair, nothing else but white space. Each tag occurs exactly once. */
    FV_PRODUCT_GENERAL,
    /* The last turn: one think pair that begins the text, later one answer pair that ends it, no tool_call
     * tags. Every turn before: one think pair that begins the text, later one tool_call pair that ends it, no
     * answer tags. White space may stand before and after the pairs, other text only between them. */
    FV_PRODUCT_EFFICIENT
} fv_product;

typedef struct fv_format_settings {
    fv_product product;
    int needs_valid_call; /* 1, the default: a bad call breaks the format (the paper); 0: tags are enough */
} fv_format_settings;

/* 1 if the turns keep to the format, else 0; 0 for no turns. */
int fv_format_score(const fv_format_settings *settings, const fv_slice *turns, int n_turns);

typedef enum fv_extraction {
    FV_EXTRACT_SPLIT,  /* what follows the last <answer>, else the whole text, up to the first </answer> in it
                        */
    FV_EXTRACT_STRICT, /* what stands between the last <answer> and the </answer> after it; nothing without
                          both */
    FV_EXTRACT_NONE    /* the whole text, for a judge that reads it */
} fv_extraction;
extern const char *const fv_extraction_names[]; /* "split", ...; ends with NULL */

/* The answer proper of the last turn, trimmed; a part of text. Empty if there is none. */
fv_slice fv_answer_extract(fv_extraction how, fv_slice text);

#endif
