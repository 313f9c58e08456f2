/* Replies of a judge, as text and as responses of the API, whole, streamed or refused. No verdict may come of
 * a text without a 0, 1, YES or NO, and no secret into a sentence. */
#include "reward/judge/judge_api_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char secret[] = "hush", url[] = "";

static void read_as(int status, fv_grammar grammar, fv_slice text)
{
    static const fv_api_access access = {.url = {.data = url}, .secrets = {secret}, .has_key = 1};
    static const fv_judge_api_settings settings = {.model = "m", .reply_tokens = 1};
    const fv_http_response response = {
        .status = status, .problem = "", .content_type = "application/json", .body = text};
    for (int is_known = 0; is_known < 2; is_known++) {
        const fv_api_reader reader = {
            .access = &access, .settings = &settings, .grammar = grammar, .is_known = is_known};
        fv_api_reading reading;
        fv_err err = fv_api_read(&reader, &response, &reading);
        if (err != FV_OK && err != FV_ERR_ARGUMENT)
            abort();
        if (strstr(err == FV_OK ? reading.refusal.sentence : fv_error_text(), secret))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const fv_slice text = {(const char *)data, size};
    for (fv_grammar grammar = FV_GRAMMAR_SCORE; grammar <= FV_GRAMMAR_WORDS; grammar++) {
        const fv_verdict verdict = fv_verdict_parse(grammar, text);
        int is_word = grammar == FV_GRAMMAR_WORDS,
            has_right = memchr(data, is_word ? 'Y' : '1', size) != NULL,
            has_wrong = memchr(data, is_word ? 'N' : '0', size) != NULL;
        if (verdict.has_verdict && !(verdict.score == 1 ? has_right : has_wrong))
            abort();
        read_as(200, grammar, text);
    }
    read_as(400, FV_GRAMMAR_SCORE, text);
    return 0;
}
