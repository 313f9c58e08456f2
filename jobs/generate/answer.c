#include "jobs/generate/answer.h"

#include "fovea/io/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

fv_err fv_generate_answer_init(fv_generate_answer *answer, const fv_tokenizer *tokenizer, size_t max_tokens,
                               int is_streamed)
{
    answer->is_streamed = is_streamed;
    answer->logprobs = malloc(max_tokens * sizeof *answer->logprobs);
    FV_CHECK(answer->logprobs, FV_ERR_MEMORY, "cannot allocate an answer of %zu tokens", max_tokens);
    fv_token_stream_init(&answer->stream, tokenizer, 1);
    return FV_OK;
}

void fv_generate_answer_fini(fv_generate_answer *answer)
{
    fv_buffer_fini(&answer->text);
    fv_tokens_fini(&answer->ids);
    free(answer->logprobs);
}

static fv_err flush_text(fv_generate_answer *a)
{
    if (!a->is_streamed)
        return FV_OK;
    FV_CHECK(fwrite(a->text.data, 1, a->text.size, stdout) == a->text.size && fflush(stdout) == 0, FV_ERR_IO,
             "cannot write to standard output: %s", strerror(errno));
    a->text.size = 0;
    return FV_OK;
}

fv_err fv_generate_answer_receive(void *context, int32_t id, float logprob)
{
    fv_generate_answer *a = context;
    a->logprobs[a->ids.n] = logprob;
    FV_TRY(fv_tokens_push(&a->ids, id));
    FV_TRY(fv_token_stream_push(&a->stream, id, &a->text));
    return flush_text(a);
}

fv_err fv_generate_answer_turn(void *context)
{
    fv_generate_answer *a = context;
    FV_TRY(fv_token_stream_flush(&a->stream, &a->text));
    FV_TRY(fv_buffer_append(&a->text, "\n", 1));
    return flush_text(a);
}

static fv_err fill_json(const fv_generate_answer *a, fv_json *root)
{
    fv_json *ids = fv_json_make_array(), *logprobs = fv_json_make_array();
    const char *reason = a->is_stopped ? "stop" : "length";
    fv_err err = fv_json_set(root, "ids", ids);
    FV_TRY(fv_json_set(root, "logprobs", logprobs));
    FV_TRY(err);
    for (size_t i = 0; i < a->ids.n; i++) {
        FV_TRY(fv_json_append(ids, fv_json_make_integer(a->ids.ids[i])));
        FV_TRY(fv_json_append(logprobs, fv_json_make_real(a->logprobs[i])));
    }
    FV_TRY(fv_json_set(root, "text", fv_json_make_string(a->text.data ? a->text.data : "", a->text.size)));
    FV_TRY(fv_json_set_text(root, "finish", reason));
    FV_TRY(fv_json_set(root, "prompt_tokens", fv_json_make_integer(a->prompt_tokens)));
    FV_TRY(fv_json_set(root, "visual_tokens", fv_json_make_integer(a->visual_tokens)));
    return a->calls < 0 ? FV_OK : fv_json_set(root, "calls", fv_json_make_integer(a->calls));
}

static fv_err print_json(const fv_generate_answer *a)
{
    fv_json *root = fv_json_make_object();
    fv_buffer line = {0};
    fv_err err = FV_OK;
    FV_TRY_DONE(fill_json(a, root));
    FV_TRY_DONE(fv_json_print(root, 0, &line));
    FV_TRY_DONE(fv_buffer_append(&line, "\n", 1));
    FV_CHECK_DONE(fwrite(line.data, 1, line.size, stdout) == line.size && fflush(stdout) == 0, FV_ERR_IO,
                  "cannot write to standard output: %s", strerror(errno));
done:
    fv_buffer_fini(&line);
    fv_json_destroy(root);
    return err;
}

fv_err fv_generate_answer_end(fv_generate_answer *a, int prints_json)
{
    FV_TRY(fv_token_stream_flush(&a->stream, &a->text));
    if (prints_json)
        return print_json(a);
    FV_TRY(fv_buffer_append(&a->text, "\n", 1));
    return flush_text(a);
}
