/* Chat templates, recognised by their text. They are programs in Jinja; those of the Qwen family write every
 * message in the same way and differ in a few literals, which are looked for here. Whatever else a template
 * may do is told by words that theirs do not have, and refused. */
#include "fovea/model/tokenizer/chat.h"
#include "fovea/base/file.h"
#include "fovea/io/json.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

#define START "<|im_start|>"
#define END "<|im_end|>"

/* Literals as they come out: \n and \' as one character. */
static fv_err unescape(const char *text, size_t size, fv_buffer *out)
{
    for (size_t i = 0; i < size; i++) {
        int is_escape = text[i] == '\\' && i + 1 < size && strchr("n'\"\\", text[i + 1]);
        char c = is_escape ? text[++i] : text[i];
        FV_TRY(fv_buffer_append(out, is_escape && c == 'n' ? "\n" : &c, 1));
    }
    return fv_buffer_append(out, "", 0);
}

static int starts_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Other markup, and functions that change what a message says. */
static fv_err check_words(const char *text)
{
    static const char *const tokens[] = {
        START, END, "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>", "<|endoftext|>"};
    static const char *const foreign[] = {
        "bos_token", "eos_token", "strftime", "| trim",    "|trim",   "| upper", "|upper", "| lower",
        "|lower",    "| replace", "|replace", ".replace(", ".upper(", ".lower(", "[INST]", "<start_of_turn>"};
    for (const char *at = text; (at = strstr(at, "<|")); at += 2) {
        size_t known = 0;
        while (known < sizeof tokens / sizeof tokens[0] && !starts_with(at, tokens[known]))
            known++;
        FV_CHECK(known < sizeof tokens / sizeof tokens[0], FV_ERR_UNSUPPORTED, "it has the token %.*s",
                 (int)strcspn(at, ">") + 1, at);
    }
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
        FV_CHECK(!strstr(text, foreign[i]), FV_ERR_UNSUPPORTED, "it has \"%s\"", foreign[i]);
    return FV_OK;
}

/* Past blanks, and the end of a literal or the start of an expression. */
static const char *skip_joint(const char *at)
{
    while (*at && (isspace((unsigned char)*at) || strchr("'\"+~{-(", *at)))
        at++;
    return at;
}

/* Messages are written with their roles. */
static fv_err check_messages(const char *text)
{
    for (const char *at = text; (at = strstr(at, START)); at += sizeof START - 1)
        if (starts_with(skip_joint(at + sizeof START - 1), "message"))
            return FV_OK;
    return FV_FAIL(FV_ERR_UNSUPPORTED, "it does not write messages as " START "ROLE");
}

/* Nothing stands between what a message says and its end. */
static fv_err check_contents(const char *text)
{
    static const char joint[] = "'\n' + ";
    for (const char *at = text; (at = strstr(at, joint)); at++) {
        const char *value = at + sizeof joint - 1, *after = skip_joint(value + strcspn(value, " }"));
        int is_message =
            at - text >= 9 && (strncmp(at - 7, "role + ", 7) == 0 || strncmp(at - 9, "role'] + ", 9) == 0);
        FV_CHECK(!is_message || starts_with(after, END) || starts_with(after, "}}"), FV_ERR_UNSUPPORTED,
                 "it adds to what messages say");
    }
    return FV_OK;
}

/* What follows the head of a system message: an expression that gives the conversation's own, or words. */
static int is_expression(const char *at)
{
    return *at == '\'' || *at == '"' || starts_with(at, "{{") || starts_with(at, "{%");
}

static fv_err check_expression(const char *at)
{
    const char *value = skip_joint(at);
    FV_CHECK(starts_with(value, "message") || starts_with(value, "}}"), FV_ERR_UNSUPPORTED,
             "its system message is made of \"%.*s\"", (int)strcspn(value, " \n"), value);
    return FV_OK;
}

static fv_err take_words(fv_chat *chat, const char *at)
{
    const char *end = strstr(at, END);
    size_t size = end ? (size_t)(end - at) : 0;
    FV_CHECK(size > 0 && size < sizeof chat->system, FV_ERR_UNSUPPORTED,
             "its system message is empty, without end or longer than %zu bytes", sizeof chat->system - 1);
    FV_CHECK(!chat->system[0] || (strlen(chat->system) == size && memcmp(chat->system, at, size) == 0),
             FV_ERR_UNSUPPORTED, "it has two system messages of its own");
    memcpy(chat->system, at, size);
    chat->system[size] = '\0';
    FV_CHECK(!strstr(chat->system, "{{") && !strstr(chat->system, "{%"), FV_ERR_UNSUPPORTED,
             "its system message has more than words");
    return FV_OK;
}

static fv_err read_system(fv_chat *chat, const char *text)
{
    static const char head[] = START "system\n";
    chat->system[0] = '\0';
    for (const char *at = text; (at = strstr(at, head));) {
        at += sizeof head - 1;
        if (is_expression(at))
            FV_TRY(check_expression(at));
        else
            FV_TRY(take_words(chat, at));
    }
    return FV_OK;
}

/* How an answer begins: with nothing, or with an open thought. A thought that is closed at once is for those
 * who ask for it. */
static fv_err read_beginning(fv_chat *chat, const char *text)
{
    static const char head[] = START "assistant\n", thought[] = "<think>\n";
    const char *condition = NULL;
    for (const char *at = text; (at = strstr(at, "add_generation_prompt")); at++)
        condition = at;
    const char *at = condition ? strstr(condition, head) : NULL;
    FV_CHECK(at, FV_ERR_UNSUPPORTED, "it does not begin an answer with " START "assistant");
    at += sizeof head - 1;
    chat->begins_thinking = starts_with(at, thought);
    at += chat->begins_thinking ? sizeof thought - 1 : 0;
    FV_CHECK(is_expression(at), FV_ERR_UNSUPPORTED, "it begins an answer with \"%.*s\"",
             (int)strcspn(at, "\n'"), at);
    FV_CHECK(!strstr(at, "{{") || (strstr(at, "enable_thinking is defined and enable_thinking is false") &&
                                   !strstr(at, "else")),
             FV_ERR_UNSUPPORTED, "it adds more to the beginning of an answer");
    return FV_OK;
}

fv_err fv_chat_read_template(fv_chat *chat, const char *text, size_t size)
{
    fv_buffer plain = {0};
    fv_err err = FV_OK;
    FV_TRY_DONE(unescape(text, size, &plain));
    FV_TRY_DONE(check_words(plain.data));
    FV_TRY_DONE(check_messages(plain.data));
    FV_TRY_DONE(check_contents(plain.data));
    FV_TRY_DONE(read_system(chat, plain.data));
    FV_TRY_DONE(read_beginning(chat, plain.data));
done:
    fv_buffer_fini(&plain);
    return err;
}

/* Files. */

#define NOT_KNOWN "%s: the chat template is not one of Qwen's, so give the whole prompt yourself (--raw)"

/* A template by itself, or the one called default among several. */
static const fv_json *find_template(const fv_json *value)
{
    for (size_t i = 0; fv_json_kind_of(value) == FV_JSON_ARRAY && i < fv_json_size(value); i++) {
        const char *name = "";
        const fv_json *item = fv_json_at(value, i);
        if (fv_json_get_string(item, "name", &name) == FV_OK && strcmp(name, "default") == 0)
            return fv_json_get(item, "template");
    }
    return value;
}

static fv_err read_member(fv_chat *chat, const fv_json *root, int *is_there)
{
    const fv_json *value = fv_json_get(root, "chat_template");
    const char *text;
    size_t size;
    *is_there = value && fv_json_kind_of(value) != FV_JSON_NULL;
    if (!*is_there)
        return FV_OK;
    FV_TRY(fv_json_to_string(find_template(value), "chat_template", &text, &size));
    return fv_chat_read_template(chat, text, size);
}

static fv_err read_json(fv_chat *chat, const char *path, int *is_there)
{
    fv_json *root;
    FV_TRY(fv_json_load_foreign(path, &root));
    fv_err err = read_member(chat, root, is_there);
    fv_json_destroy(root);
    return err == FV_OK ? FV_OK : fv_error_prefix(err, NOT_KNOWN, path);
}

static fv_err read_jinja(fv_chat *chat, const char *path, int *is_there)
{
    fv_file_map map;
    FV_TRY(fv_file_open_map(path, &map));
    fv_err err = fv_chat_read_template(chat, (const char *)map.data, map.size);
    fv_file_close_map(&map);
    *is_there = 1;
    return err == FV_OK ? FV_OK : fv_error_prefix(err, NOT_KNOWN, path);
}

fv_err fv_chat_load_template(fv_chat *chat, const char *folder)
{
    static const char *const names[] = {"chat_template.jinja", "chat_template.json", "tokenizer_config.json"};
    for (int i = 0, is_there = 0; i < 3 && !is_there; i++) {
        char path[PATH_MAX];
        FV_TRY(fv_file_path(path, sizeof path, folder, names[i]));
        if (fv_file_exists(path))
            FV_TRY(i == 0 ? read_jinja(chat, path, &is_there) : read_json(chat, path, &is_there));
    }
    return FV_OK;
}
