/* From a case to the tokens that a local judge reads. */
#include "fovea/model/tokenizer/chat.h"
#include "fovea/reward/judge/judge_local.h"

#include <string.h>

static fv_err encode(const fv_judge_tokens *t, fv_slice text, fv_tokens *out)
{
    return fv_tokenizer_encode(t->tokenizer, text.data, text.size, FV_TOKENIZE_PLAIN, out);
}

/* The fixed text at a place, with before in front of it as one text. */
static fv_err encode_fixed(fv_judge_tokens *t, const char *before, int place)
{
    fv_buffer text = {0};
    fv_err err = FV_OK;
    FV_TRY_DONE(fv_buffer_print(&text, "%s", before));
    FV_TRY_DONE(fv_judge_prompt_fixed(t->prompt, place, &text));
    FV_TRY_DONE(encode(t, (fv_slice){text.data, text.size}, &t->fixed[place]));
done:
    fv_buffer_fini(&text);
    return err;
}

static fv_err open_chat(fv_judge_tokens *t, const fv_chat *chat)
{
    fv_slice system = fv_judge_prompt_system(t->prompt);
    const fv_chat_part part = {.text = {system.data, system.size, FV_TOKENIZE_PLAIN}};
    const fv_chat_message message = {FV_CHAT_SYSTEM, &part, 1};
    FV_TRY(fv_chat_encode(chat, &message, 1, FV_CHAT_OPENING, &t->fixed[0]));
    FV_TRY(fv_tokens_push(&t->fixed[0], chat->im_start));
    return encode_fixed(t, "user\n", 0);
}

/* A model that can think is told, as its chat format does, that it has. */
static fv_err skip_thinking(fv_judge_tokens *t, fv_tokens *out)
{
    int32_t think = fv_tokenizer_id(t->tokenizer, "<think>"), end = fv_tokenizer_id(t->tokenizer, "</think>");
    if (think < 0 || end < 0)
        return FV_OK;
    FV_TRY(fv_tokens_push(out, think));
    FV_TRY(encode(t, fv_slice_of("\n\n"), out));
    FV_TRY(fv_tokens_push(out, end));
    return encode(t, fv_slice_of("\n\n"), out);
}

static fv_err set_word(fv_judge_tokens *t, const char *word, int32_t *out)
{
    fv_tokens ids = {0};
    fv_err err = encode(t, fv_slice_of(word), &ids);
    if (err == FV_OK)
        *out = ids.ids[0];
    fv_tokens_fini(&ids);
    return err;
}

/* Up to where the words of the grammar differ. */
static fv_err lead_to_words(fv_judge_tokens *t, fv_tokens *out)
{
    int is_score = fv_judge_prompt_grammar(t->prompt) == FV_GRAMMAR_SCORE;
    FV_TRY(skip_thinking(t, out));
    FV_TRY(encode(t, fv_slice_of(is_score ? "Score: " : "[["), out));
    FV_TRY(set_word(t, is_score ? "1" : "YES", &t->words[0]));
    return set_word(t, is_score ? "0" : "NO", &t->words[1]);
}

static fv_err prepare(fv_judge_tokens *t, fv_judge_method method)
{
    fv_chat chat;
    fv_tokens *last = &t->fixed[FV_JUDGE_PLACES];
    FV_TRY(fv_chat_init(&chat, t->tokenizer));
    t->stop = chat.im_end;
    FV_TRY(open_chat(t, &chat));
    for (int place = 1; place <= FV_JUDGE_PLACES; place++)
        FV_TRY(encode_fixed(t, "", place));
    FV_TRY(fv_tokens_push(last, chat.im_end));
    FV_TRY(fv_chat_encode(&chat, NULL, 0, FV_CHAT_AFTER_TURN | FV_CHAT_ANSWER, last));
    return method == FV_JUDGE_COMPARE ? lead_to_words(t, last) : FV_OK;
}

fv_err fv_judge_tokens_init(fv_judge_tokens *t, const fv_tokenizer *tokenizer, const fv_judge_prompt *prompt,
                            fv_judge_method method)
{
    *t = (fv_judge_tokens){.tokenizer = tokenizer, .prompt = prompt};
    fv_err err = prepare(t, method);
    if (err != FV_OK)
        fv_judge_tokens_fini(t);
    return err;
}

void fv_judge_tokens_fini(fv_judge_tokens *t)
{
    for (int place = 0; place <= FV_JUDGE_PLACES; place++)
        fv_tokens_fini(&t->fixed[place]);
    *t = (fv_judge_tokens){0};
}

static fv_err append_data(const fv_judge_tokens *t, const fv_case *asked, int place, fv_tokens *out)
{
    fv_buffer text = {0};
    fv_err err = fv_judge_prompt_data(t->prompt, asked, place, &text);
    if (err == FV_OK && text.size > 0)
        err = encode(t, (fv_slice){text.data, text.size}, out);
    fv_buffer_fini(&text);
    return err;
}

static fv_err append_fixed(const fv_tokens *fixed, fv_tokens *out)
{
    FV_TRY(fv_tokens_reserve(out, fixed->n));
    memcpy(out->ids + out->n, fixed->ids, fixed->n * sizeof *fixed->ids);
    out->n += fixed->n;
    return FV_OK;
}

fv_err fv_judge_tokens_case(const fv_judge_tokens *t, const fv_case *asked, fv_tokens *out, size_t *starts,
                            size_t *ends)
{
    for (int place = 0; place < FV_JUDGE_PLACES; place++) {
        size_t start = out->n;
        FV_TRY(append_data(t, asked, place, out));
        if (starts) {
            starts[place] = start;
            ends[place] = out->n;
        }
        FV_TRY(append_fixed(&t->fixed[place + 1], out));
    }
    return FV_OK;
}
