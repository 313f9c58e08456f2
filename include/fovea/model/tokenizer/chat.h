/* Conversations as token ids, in the chat format of Qwen2.5-VL. Local.
 *
 *   <|im_start|>ROLE\nCONTENT<|im_end|>\n        a message; an image in it is
 *   <|vision_start|><|image_pad|>...<|vision_end|>  with one <|image_pad|> a merged patch
 *
 * Text from users, tools and data sets cannot act as markup: a part of mode FV_TOKENIZE_PLAIN never gives an
 * added token, whatever it contains. Where texts hold no added token, the ids are those of the reference's
 * chat template and `encode`. */
#ifndef FOVEA_MODEL_TOKENIZER_CHAT_H
#define FOVEA_MODEL_TOKENIZER_CHAT_H

#include "fovea/model/tokenizer/tokenizer.h"

#define FV_CHAT_DEFAULT_SYSTEM "You are a helpful assistant."

typedef enum fv_chat_role {
    FV_CHAT_SYSTEM,
    FV_CHAT_USER,
    FV_CHAT_ASSISTANT,
    FV_CHAT_TOOL,
} fv_chat_role;

/* A piece of content: a text, or an image if n_image_tokens > 0 (text is then not looked at). */
typedef struct fv_chat_part {
    fv_text_part text;      /* borrowed */
    int64_t n_image_tokens; /* merged patches: grid_h * grid_w / merge^2 */
} fv_chat_part;

typedef struct fv_chat_message {
    fv_chat_role role;
    const fv_chat_part *parts; /* borrowed, (n_parts) */
    size_t n_parts;
} fv_chat_message;

/* A text as a part. */
fv_chat_part fv_chat_text(const char *text, fv_tokenize_mode mode);

/* Where the messages stand in the conversation. */
enum {
    FV_CHAT_OPENING = 1,    /* first: the chat's system message is put before them if they bring none */
    FV_CHAT_AFTER_TURN = 2, /* the ids before them end with the <|im_end|> of a generated turn */
    FV_CHAT_ANSWER =
        4, /* the assistant is to answer: ends with <|im_start|>assistant\n and what it begins with */
};

enum { FV_CHAT_SYSTEM_BYTES = 512 };

/* The special tokens of the format. */
typedef struct fv_chat {
    const fv_tokenizer *tokenizer; /* borrowed */
    int32_t im_start, im_end;
    int32_t vision_start, vision_end, image_pad; /* -1 if the tokenizer has none */
    char system[FV_CHAT_SYSTEM_BYTES];           /* of conversations that bring none; "" = no message */
    int begins_thinking;                         /* answers begin with <think>\n, which is not generated */
} fv_chat;

/* FV_ERR_UNSUPPORTED if the tokenizer lacks <|im_start|> or <|im_end|> as special tokens. The system message
 * is FV_CHAT_DEFAULT_SYSTEM. */
fv_err fv_chat_init(fv_chat *chat, const fv_tokenizer *tokenizer);

/* Take the rules of a folder's chat template: chat_template.jinja, else chat_template.json, else that of
 * tokenizer_config.json; a folder without one changes nothing. Templates are not run but recognised by their
 * text: those of Qwen2, Qwen2.5, Qwen2.5-VL and Qwen3, which differ in the system message that they put first
 * and in how an answer begins. FV_ERR_UNSUPPORTED names the file and what is not of this kind. */
fv_err fv_chat_load_template(fv_chat *chat, const char *folder);

/* The same for the text of a template. */
fv_err fv_chat_read_template(fv_chat *chat, const char *text, size_t size);

/* The vision tokens, which no text of the assistant may hold: <|vision_start|>, <|vision_end|>,
 * <|vision_pad|>, <|image_pad|>, <|video_pad|>. Returns how many of them the tokenizer has. */
enum { FV_CHAT_VISION_IDS = 5 };
int fv_chat_vision_ids(const fv_chat *chat, int32_t out[FV_CHAT_VISION_IDS]);

/* Append the ids of messages. flags: FV_CHAT_... joined by |. FV_ERR_UNSUPPORTED for an image if the
 * tokenizer has no vision tokens; FV_ERR_ARGUMENT for a negative number of image tokens. On failure *out is
 * as before. */
fv_err fv_chat_encode(const fv_chat *chat, const fv_chat_message *messages, size_t n_messages, unsigned flags,
                      fv_tokens *out);

#endif
