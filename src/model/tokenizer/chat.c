#include "fovea/model/tokenizer/chat.h"

#include <stdlib.h>
#include <string.h>

static int32_t special_id(const fv_tokenizer *tokenizer, const char *text)
{
    int32_t id = fv_tokenizer_id(tokenizer, text);
    return id >= 0 && fv_tokenizer_is_special(tokenizer, id) ? id : -1;
}

fv_err fv_chat_init(fv_chat *chat, const fv_tokenizer *tokenizer)
{
    *chat = (fv_chat){
        .tokenizer = tokenizer,
        .im_start = special_id(tokenizer, "<|im_start|>"),
        .im_end = special_id(tokenizer, "<|im_end|>"),
        .vision_start = special_id(tokenizer, "<|vision_start|>"),
        .vision_end = special_id(tokenizer, "<|vision_end|>"),
        .image_pad = special_id(tokenizer, "<|image_pad|>"),
        .system = FV_CHAT_DEFAULT_SYSTEM,
    };
    FV_CHECK(chat->im_start >= 0 && chat->im_end >= 0, FV_ERR_UNSUPPORTED,
             "the tokenizer has no special token %s, which the chat format needs",
             chat->im_start < 0 ? "<|im_start|>" : "<|im_end|>");
    return FV_OK;
}

int fv_chat_vision_ids(const fv_chat *chat, int32_t out[FV_CHAT_VISION_IDS])
{
    static const char *const names[FV_CHAT_VISION_IDS] = {"<|vision_start|>", "<|vision_end|>",
                                                          "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"};
    int n = 0;
    for (int i = 0; i < FV_CHAT_VISION_IDS; i++) {
        int32_t id = special_id(chat->tokenizer, names[i]);
        if (id >= 0)
            out[n++] = id;
    }
    return n;
}

fv_chat_part fv_chat_text(const char *text, fv_tokenize_mode mode)
{
    return (fv_chat_part){.text = {text, strlen(text), mode}};
}

static fv_err append_text(const fv_chat *chat, const char *text, fv_tokens *out)
{
    return fv_tokenizer_encode(chat->tokenizer, text, strlen(text), FV_TOKENIZE_PLAIN, out);
}

static fv_err append_image(const fv_chat *chat, int64_t n, fv_tokens *out)
{
    FV_CHECK(n > 0, FV_ERR_ARGUMENT, "an image of %lld tokens, expected 1 or more", (long long)n);
    FV_CHECK(
        chat->vision_start >= 0 && chat->vision_end >= 0 && chat->image_pad >= 0, FV_ERR_UNSUPPORTED,
        "the tokenizer lacks <|vision_start|>, <|image_pad|> or <|vision_end|>, so no image can be shown");
    FV_TRY(fv_tokens_push(out, chat->vision_start));
    FV_TRY(fv_tokens_reserve(out, (size_t)n));
    for (int64_t i = 0; i < n; i++)
        out->ids[out->n++] = chat->image_pad;
    return fv_tokens_push(out, chat->vision_end);
}

/* The texts up to the next image are one text to the tokenizer, the role's line included. */
static fv_err append_content(const fv_chat *chat, const fv_chat_message *message, fv_text_part *texts,
                             fv_tokens *out)
{
    static const char *const roles[] = {"system\n", "user\n", "assistant\n", "tool\n"};
    const char *role = roles[message->role];
    size_t n_texts = 0;
    texts[n_texts++] = (fv_text_part){role, strlen(role), FV_TOKENIZE_PLAIN};
    for (size_t i = 0; i < message->n_parts; i++) {
        if (message->parts[i].n_image_tokens == 0) {
            texts[n_texts++] = message->parts[i].text;
            continue;
        }
        FV_TRY(fv_tokenizer_encode_parts(chat->tokenizer, texts, n_texts, out));
        FV_TRY(append_image(chat, message->parts[i].n_image_tokens, out));
        n_texts = 0;
    }
    return fv_tokenizer_encode_parts(chat->tokenizer, texts, n_texts, out);
}

static fv_err append_message(const fv_chat *chat, const fv_chat_message *message, fv_tokens *out)
{
    fv_text_part *texts = malloc((message->n_parts + 1) * sizeof *texts);
    fv_err err = FV_OK;
    FV_CHECK(texts, FV_ERR_MEMORY, "cannot allocate a message of %zu parts", message->n_parts);
    FV_TRY_DONE(fv_tokens_push(out, chat->im_start));
    FV_TRY_DONE(append_content(chat, message, texts, out));
    FV_TRY_DONE(fv_tokens_push(out, chat->im_end));
    FV_TRY_DONE(append_text(chat, "\n", out));
done:
    free(texts);
    return err;
}

static fv_err append_all(const fv_chat *chat, const fv_chat_message *messages, size_t n_messages,
                         unsigned flags, fv_tokens *out)
{
    if (flags & FV_CHAT_AFTER_TURN)
        FV_TRY(append_text(chat, "\n", out));
    int needs_system = (flags & FV_CHAT_OPENING) && n_messages && messages[0].role != FV_CHAT_SYSTEM;
    if (needs_system && chat->system[0]) {
        fv_chat_part text = fv_chat_text(chat->system, FV_TOKENIZE_PLAIN);
        FV_TRY(append_message(chat, &(fv_chat_message){FV_CHAT_SYSTEM, &text, 1}, out));
    }
    for (size_t i = 0; i < n_messages; i++)
        FV_TRY(append_message(chat, &messages[i], out));
    if (!(flags & FV_CHAT_ANSWER))
        return FV_OK;
    FV_TRY(fv_tokens_push(out, chat->im_start));
    const char *beginning = chat->begins_thinking ? "assistant\n<think>\n" : "assistant\n";
    return fv_tokenizer_encode(chat->tokenizer, beginning, strlen(beginning), FV_TOKENIZE_MARKUP, out);
}

fv_err fv_chat_encode(const fv_chat *chat, const fv_chat_message *messages, size_t n_messages, unsigned flags,
                      fv_tokens *out)
{
    size_t n_before = out->n;
    fv_err err = append_all(chat, messages, n_messages, flags, out);
    if (err)
        out->n = n_before;
    return err;
}
