/* A model that says what a test wants: the next token is one that the last token links to, but for a draw in
 * some thousands. Several links of a token are about equally likely.
 *
 * It is written as weights of a folder. Beside the random numbers of case_write the embedding of a token with
 * links stands out in a dimension of its own, the residual stream carries it through all layers, and the
 * head's rows of the tokens that follow listen to it. So its log-probs depend, in their last bits, on
 * everything before. */
#ifndef FOVEA_CHAIN_MODEL_H
#define FOVEA_CHAIN_MODEL_H

#include "model_case.h"

typedef struct chain_link {
    int32_t from, to;
} chain_link;

/* root/name; shape: of configs/model, its head not tied, wider than there are links. */
void chain_write(const char *name, const char *shape, const chain_link *links, int n);

#endif
