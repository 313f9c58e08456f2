/* Replies of a judge, as text and as a response of the API. No verdict may come of a text without a 0, 1, YES
 * or NO. */
#include "loop/judge_api_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const fv_slice text = {(const char *)data, size};
    const fv_http_response response = {
        .status = 200, .problem = "", .content_type = "application/json", .body = text};
    for (fv_grammar grammar = FV_GRAMMAR_SCORE; grammar <= FV_GRAMMAR_WORDS; grammar++) {
        const fv_api_reader reader = {.grammar = grammar, .url = ""};
        const fv_verdict verdict = fv_verdict_parse(grammar, text);
        fv_api_reading reading;
        int is_word = grammar == FV_GRAMMAR_WORDS,
            has_right = memchr(data, is_word ? 'Y' : '1', size) != NULL,
            has_wrong = memchr(data, is_word ? 'N' : '0', size) != NULL;
        if (verdict.has_verdict && !(verdict.score == 1 ? has_right : has_wrong))
            abort();
        if (fv_api_read(&reader, &response, &reading) != FV_OK)
            abort();
    }
    return 0;
}
