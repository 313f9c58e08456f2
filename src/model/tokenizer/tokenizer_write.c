/* A byte-level tokenizer without merges, as the two files of a Hugging Face folder. */
#include "fovea/base/file.h"
#include "fovea/base/text/utf8.h"
#include "model/tokenizer/tokenizer_internal.h"

#include <limits.h>
#include <string.h>

/* The reference numbers added tokens itself unless the vocabulary has them, so it gets them too. */
static fv_err make_vocab(const fv_added_token *special, size_t n_special, fv_json *vocab)
{
    for (int byte = 0; byte < 256; byte++) {
        char text[5] = {0};
        fv_utf8_encode(fv_byte_char((uint8_t)byte), text);
        FV_TRY(fv_json_set(vocab, text, fv_json_make_integer(byte)));
    }
    for (size_t i = 0; i < n_special; i++) {
        FV_CHECK(special[i].id >= 256, FV_ERR_ARGUMENT,
                 "the special token \"%s\" has the id %d, expected 256 or more: those below are the bytes",
                 special[i].text, special[i].id);
        FV_TRY(fv_json_set(vocab, special[i].text, fv_json_make_integer(special[i].id)));
    }
    return FV_OK;
}

static fv_err make_added(const fv_added_token *special, size_t n_special, fv_json *array)
{
    static const char *const flags[] = {"single_word", "lstrip", "rstrip", "normalized", "special"};
    for (size_t i = 0; i < n_special; i++) {
        fv_json *token = fv_json_make_object();
        FV_TRY(fv_json_append(array, token));
        FV_TRY(fv_json_set(token, "id", fv_json_make_integer(special[i].id)));
        FV_TRY(fv_json_set(token, "content", fv_json_make_string(special[i].text, strlen(special[i].text))));
        for (size_t flag = 0; flag < 5; flag++)
            FV_TRY(fv_json_set(token, flags[flag], fv_json_make_bool(flag == 4)));
    }
    return FV_OK;
}

/* Everything but the vocabulary and the added tokens. */
#define BYTE_LEVEL \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":false,\"use_regex\":false}"
static const char frame[] =
    "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[],\"normalizer\":{\"type\":"
    "\"NFC\"},"
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{},"
    "\"behavior\":\"Isolated\",\"invert\":false}," BYTE_LEVEL "]},\"post_processor\":" BYTE_LEVEL
    ",\"decoder\":" BYTE_LEVEL ",\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,"
    "\"continuing_subword_prefix\":\"\",\"end_of_word_suffix\":\"\",\"fuse_unk\":false,\"byte_fallback\":"
    "false,"
    "\"ignore_merges\":false,\"vocab\":{},\"merges\":[]}}";

/* The rules of chat.h as a template: images are one token each, which the processor multiplies. */
static const char chat_template[] = "{%- if messages and messages[0]['role'] != 'system' -%}\n"
                                    "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}\n"
                                    "{%- endif -%}\n"
                                    "{%- for message in messages -%}\n"
                                    "{{ '<|im_start|>' + message['role'] + '\\n' }}\n"
                                    "{%- if message['content'] is string -%}\n"
                                    "{{ message['content'] }}\n"
                                    "{%- else -%}\n"
                                    "{%- for part in message['content'] -%}\n"
                                    "{%- if part['type'] == 'image' -%}\n"
                                    "{{ '<|vision_start|><|image_pad|><|vision_end|>' }}\n"
                                    "{%- elif 'text' in part -%}\n"
                                    "{{ part['text'] }}\n"
                                    "{%- endif -%}\n"
                                    "{%- endfor -%}\n"
                                    "{%- endif -%}\n"
                                    "{{ '<|im_end|>\\n' }}\n"
                                    "{%- endfor -%}\n"
                                    "{%- if add_generation_prompt -%}\n"
                                    "{{ '<|im_start|>assistant\\n' }}\n"
                                    "{%- endif -%}\n";

static fv_err fill_config(fv_json *root)
{
    static const char *const texts[][2] = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                                           {"eos_token", "<|im_end|>"},
                                           {"pad_token", "<|endoftext|>"},
                                           {"chat_template", chat_template}};
    FV_TRY(fv_json_set(root, "clean_up_tokenization_spaces", fv_json_make_bool(0)));
    for (int i = 0; i < 4; i++)
        FV_TRY(fv_json_set(root, texts[i][0], fv_json_make_string(texts[i][1], strlen(texts[i][1]))));
    return FV_OK;
}

static fv_err write_config(const char *folder)
{
    char path[PATH_MAX];
    fv_buffer text = {0};
    fv_json *root = fv_json_make_object();
    fv_err err = FV_OK;
    FV_TRY_DONE(fv_file_path(path, sizeof path, folder, "tokenizer_config.json"));
    FV_TRY_DONE(fill_config(root));
    FV_TRY_DONE(fv_json_print(root, 2, &text));
    FV_TRY_DONE(fv_buffer_append(&text, "\n", 1));
    FV_TRY_DONE(fv_file_write(path, text.data, text.size));
done:
    fv_buffer_fini(&text);
    fv_json_destroy(root);
    return err;
}

fv_err fv_tokenizer_make_frame(fv_json **out)
{
    FV_TRY(fv_json_parse(frame, sizeof frame - 1, "tokenizer.json", out));
    fv_json *steps = fv_json_get(fv_json_get(*out, "pre_tokenizer"), "pretokenizers");
    fv_err err = fv_json_set(fv_json_get(fv_json_at(steps, 0), "pattern"), "Regex",
                             fv_json_make_string(FV_QWEN2_SPLIT, strlen(FV_QWEN2_SPLIT)));
    if (err != FV_OK) {
        fv_json_destroy(*out);
        *out = NULL;
    }
    return err;
}

static fv_err add_tokens(fv_json *root, const fv_added_token *special, size_t n_special)
{
    FV_TRY(make_vocab(special, n_special, fv_json_get(fv_json_get(root, "model"), "vocab")));
    return make_added(special, n_special, fv_json_get(root, "added_tokens"));
}

fv_err fv_tokenizer_write_bytes(const char *folder, const fv_added_token *special, size_t n_special)
{
    char path[PATH_MAX];
    fv_json *root;
    fv_tokenizer *check = NULL;
    fv_buffer text = {0};
    fv_err err = FV_OK;
    FV_TRY(fv_tokenizer_make_frame(&root));
    FV_TRY_DONE(add_tokens(root, special, n_special));
    FV_TRY_DONE(fv_json_print(root, 2, &text));
    FV_TRY_DONE(fv_tokenizer_parse(text.data, text.size, "tokenizer.json", &check));
    FV_TRY_DONE(fv_file_path(path, sizeof path, folder, "tokenizer.json"));
    FV_TRY_DONE(fv_file_write(path, text.data, text.size));
    FV_TRY_DONE(write_config(folder));
done:
    fv_tokenizer_destroy(check);
    fv_buffer_fini(&text);
    fv_json_destroy(root);
    return err;
}
