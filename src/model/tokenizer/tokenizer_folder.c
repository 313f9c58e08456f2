/* A folder's tokenizer as one description, in the form of tokenizer.json: that file, or vocab.json and
 * merges.txt in Qwen2's frame; and the added tokens that only other files name, with the ids that the
 * reference gives them. */
#include "fovea/base/file.h"
#include "model/tokenizer/tokenizer_internal.h"

#include <limits.h>
#include <stdlib.h>

/* The description, and where in its added_tokens a content is. */
typedef struct description {
    fv_json *root, *added; /* added is in root */
    fv_json *places;       /* content: index */
    int64_t largest;       /* id of an added token; -1 if there is none */
} description;

/* How a token is looked for: an object with the flags, or NULL. */
typedef struct configured {
    const char *content;
    const fv_json *flags;
    int64_t id;  /* -1: the next free one */
    int special; /* where the flags do not say */
} configured;

static const char *const flag_names[] = {"single_word", "lstrip", "rstrip", "normalized", "special"};

static fv_err set_flags(fv_json *item, const configured *token)
{
    for (int i = 0; i < 5; i++) {
        const fv_json *flag = fv_json_get(token->flags, flag_names[i]);
        fv_json_remove(item, flag_names[i]);
        if (flag)
            FV_TRY(fv_json_set(item, flag_names[i], fv_json_copy(flag)));
    }
    return fv_json_get(item, "special") ? FV_OK
                                        : fv_json_set(item, "special", fv_json_make_bool(token->special));
}

static fv_err note_place(description *d, const fv_json *item, size_t index)
{
    const char *content = NULL;
    int64_t id = -1;
    if (fv_json_get_string(item, "content", &content) != FV_OK || !content ||
        fv_json_get_integer(item, "id", &id) != FV_OK)
        return FV_OK; /* told of when the description is loaded */
    if (id > d->largest)
        d->largest = id;
    return fv_json_set(d->places, content, fv_json_make_integer((int64_t)index));
}

/* The id that the reference gives a token: the vocabulary's, or the first after all others. */
static fv_err next_id(const description *d, const char *content, int64_t *out)
{
    const fv_json *vocab = fv_json_get(fv_json_get(d->root, "model"), "vocab");
    int64_t size = (int64_t)fv_json_size(vocab);
    *out = d->largest >= size ? d->largest + 1 : size;
    return fv_json_get_integer(vocab, content, out);
}

/* The reference passes over the id that a file states; weights know one of the two. */
static fv_err check_id(const configured *token, int64_t id)
{
    FV_CHECK(token->id < 0 || token->id == id, FV_ERR_UNSUPPORTED,
             "the token \"%.64s\" has the id %lld, but %lld by the tokens before it", token->content,
             (long long)token->id, (long long)id);
    return FV_OK;
}

static fv_err append_token(description *d, const configured *token)
{
    int64_t id;
    fv_json *item = fv_json_make_object();
    FV_TRY(fv_json_append(d->added, item));
    FV_TRY(next_id(d, token->content, &id));
    FV_TRY(check_id(token, id));
    FV_TRY(fv_json_set(item, "id", fv_json_make_integer(id)));
    FV_TRY(fv_json_set_text(item, "content", token->content));
    FV_TRY(set_flags(item, token));
    return note_place(d, item, fv_json_size(d->added) - 1);
}

/* A token that is there already keeps its id, and its flags unless new ones are given. */
static fv_err add_token(description *d, const configured *token)
{
    int64_t index = -1, id = -1;
    FV_TRY(fv_json_get_integer(d->places, token->content, &index));
    if (index < 0)
        return append_token(d, token);
    fv_json *item = fv_json_at(d->added, (size_t)index);
    FV_TRY(fv_json_get_integer(item, "id", &id));
    FV_TRY(check_id(token, id));
    return token->flags ? set_flags(item, token) : FV_OK;
}

/* A token as text, or as an object; null is none. Versions of the reference differ in whether the flags of
 * such an object count, so they may say nothing. */
static fv_err add_value(description *d, const fv_json *value, const char *key)
{
    static const char *const unclear[] = {"single_word", "lstrip", "rstrip"};
    configured token = {.id = -1, .special = 1};
    if (!value || fv_json_kind_of(value) == FV_JSON_NULL)
        return FV_OK;
    for (int i = 0; i < 3; i++) {
        int flag = 0;
        FV_TRY(fv_json_get_bool(value, unclear[i], &flag));
        FV_CHECK(!flag, FV_ERR_UNSUPPORTED,
                 "\"%s\" of \"%.64s\" is true, supported is false outside of "
                 "added_tokens_decoder",
                 unclear[i], key);
    }
    if (fv_json_kind_of(value) == FV_JSON_OBJECT)
        value = fv_json_get(value, "content");
    FV_TRY(fv_json_to_string(value, key, &token.content, NULL));
    return *token.content ? add_token(d, &token) : FV_OK;
}

/* tokenizer_config.json: {"151643": {"content": ...}, ...}; added_tokens.json: {"<a>": 151643, ...}. Both in
 * the order of their ids, in which the reference counts. */
static int by_id(const void *a, const void *b)
{
    const configured *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

static fv_err read_decoder(const fv_json *object, configured *tokens)
{
    size_t n = 0;
    for (void *i = fv_json_first(object); i; i = fv_json_next(object, i), n++) {
        char *end;
        const fv_json *flags = fv_json_member(i);
        tokens[n] = (configured){.id = strtoll(fv_json_key(i), &end, 10), .flags = flags};
        FV_CHECK(*fv_json_key(i) && !*end && tokens[n].id >= 0, FV_ERR_FORMAT,
                 "added_tokens_decoder has the id \"%.32s\", expected a number", fv_json_key(i));
        FV_TRY(fv_json_to_string(fv_json_get(flags, "content"), "content", &tokens[n].content, NULL));
    }
    return FV_OK;
}

static fv_err read_encoder(const fv_json *object, configured *tokens)
{
    size_t n = 0;
    for (void *i = fv_json_first(object); i; i = fv_json_next(object, i), n++) {
        tokens[n] = (configured){.content = fv_json_key(i)};
        FV_TRY(fv_json_to_integer(fv_json_member(i), fv_json_key(i), &tokens[n].id));
    }
    return FV_OK;
}

static fv_err add_numbered(description *d, const fv_json *object,
                           fv_err (*read)(const fv_json *object, configured *tokens))
{
    size_t n = fv_json_size(object);
    configured *tokens = calloc(n + 1, sizeof *tokens);
    fv_err err = FV_OK;
    FV_CHECK(tokens, FV_ERR_MEMORY, "no memory for %zu tokens", n);
    FV_TRY_DONE(read(object, tokens));
    qsort(tokens, n, sizeof *tokens, by_id);
    for (size_t i = 0; i < n; i++)
        FV_TRY_DONE(add_token(d, &tokens[i]));
done:
    free(tokens);
    return err;
}

/* Names of single tokens, in the order in which the reference adds those that are new. */
static const char *const named[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                    "pad_token", "cls_token", "mask_token"};
enum { N_NAMED = sizeof named / sizeof named[0] };

static int is_named(const char *key)
{
    for (int i = 0; i < N_NAMED; i++)
        if (strcmp(named[i], key) == 0)
            return 1;
    return 0;
}

/* A list of tokens, or an object of named ones. */
static fv_err add_many(description *d, const fv_json *value, const char *key)
{
    for (size_t i = 0; fv_json_at(value, i); i++)
        FV_TRY(add_value(d, fv_json_at(value, i), key));
    for (void *i = fv_json_first(value); i; i = fv_json_next(value, i))
        FV_TRY(add_value(d, fv_json_member(i), fv_json_key(i)));
    return FV_OK;
}

/* A folder without tokenizer.json has Qwen2's defaults for what it does not name. */
static fv_json *make_defaults(int is_bare)
{
    static const char *const keys[] = {"eos_token", "unk_token", "pad_token"};
    static const char content[] = "<|endoftext|>";
    fv_json *defaults = fv_json_make_object();
    for (int i = 0; i < 3 && is_bare; i++)
        if (fv_json_set(defaults, keys[i], fv_json_make_string(content, sizeof content - 1)) != FV_OK)
            return fv_json_destroy(defaults), NULL;
    return defaults;
}

static fv_err add_special(description *d, const fv_json *config)
{
    static const char *const lists[] = {"extra_special_tokens", "additional_special_tokens"};
    for (int i = 0; i < N_NAMED; i++)
        FV_TRY(add_value(d, fv_json_get(config, named[i]), named[i]));
    for (void *i = fv_json_first(config); i; i = fv_json_next(config, i)) {
        const char *key = fv_json_key(i);
        size_t size = strlen(key);
        if (size > 6 && strcmp(key + size - 6, "_token") == 0 && !is_named(key) &&
            fv_json_kind_of(fv_json_member(i)) == FV_JSON_STRING)
            FV_TRY(add_value(d, fv_json_member(i), key));
    }
    FV_TRY(
        add_many(d, fv_json_get(config, "model_specific_special_tokens"), "model_specific_special_tokens"));
    int which = fv_json_size(fv_json_get(config, lists[0])) ? 0 : 1;
    return add_many(d, fv_json_get(config, lists[which]), lists[which]);
}

/* Settings that would put tokens around a text or read it in another way. */
static fv_err check_settings(const fv_json *config)
{
    static const char *const keys[] = {"add_bos_token", "add_eos_token", "add_prefix_space",
                                       "split_special_tokens"};
    for (int i = 0; i < 4; i++) {
        int value = 0;
        FV_TRY(fv_json_get_bool(config, keys[i], &value));
        FV_CHECK(!value, FV_ERR_UNSUPPORTED, "\"%s\" is true, supported is false", keys[i]);
    }
    return FV_OK;
}

static fv_err load_if_there(const char *folder, const char *name, fv_json **out)
{
    char path[PATH_MAX];
    *out = NULL;
    FV_TRY(fv_file_path(path, sizeof path, folder, name));
    if (!fv_file_exists(path))
        return FV_OK;
    FV_TRY(fv_json_load_foreign(path, out)); /* Python writes a length without limit as 1e30 in digits */
    if (fv_json_kind_of(*out) == FV_JSON_OBJECT)
        return FV_OK;
    fv_json_destroy(*out);
    *out = NULL;
    return FV_FAIL(FV_ERR_FORMAT, "%s: not a JSON object", path);
}

/* Set the members of from in to, over those that are there. */
static fv_err overlay(fv_json *to, const fv_json *from)
{
    for (void *i = fv_json_first(from); i; i = fv_json_next(from, i))
        FV_TRY(fv_json_set(to, fv_json_key(i), fv_json_copy(fv_json_member(i))));
    return FV_OK;
}

/* What newer versions write is all in tokenizer_config.json; only without its added_tokens_decoder do the two
 * older files count. */
static fv_err add_configured(description *d, const char *folder, int is_bare)
{
    fv_json *config = NULL, *map = NULL, *encoder = NULL, *all = make_defaults(is_bare);
    fv_err err = FV_OK;
    FV_CHECK_DONE(all, FV_ERR_MEMORY, "no memory for the names of tokens");
    FV_TRY_DONE(load_if_there(folder, "tokenizer_config.json", &config));
    FV_TRY_DONE(check_settings(config));
    FV_TRY_DONE(overlay(all, config));
    const fv_json *decoder = fv_json_get(config, "added_tokens_decoder");
    if (decoder) {
        FV_TRY_DONE(add_numbered(d, decoder, read_decoder));
    } else {
        FV_TRY_DONE(load_if_there(folder, "special_tokens_map.json", &map));
        FV_TRY_DONE(overlay(all, map));
        FV_TRY_DONE(load_if_there(folder, "added_tokens.json", &encoder));
        FV_TRY_DONE(add_numbered(d, encoder, read_encoder));
    }
    FV_TRY_DONE(add_special(d, all));
done:
    fv_json_destroy(config);
    fv_json_destroy(map);
    fv_json_destroy(encoder);
    fv_json_destroy(all);
    return err == FV_OK ? FV_OK : fv_error_prefix(err, "%s: tokens beside the vocabulary", folder);
}

/* The reference's merges.txt: a line of its version, then two tokens a line. */
static fv_err read_merges(const char *text, size_t size, fv_json *merges)
{
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end ? (size_t)(end - text) - at : size - at, line = length;
        if (line && text[at + line - 1] == '\r')
            line--;
        if (line && !(line >= 8 && memcmp(text + at, "#version", 8) == 0))
            FV_TRY(fv_json_append(merges, fv_json_make_string(text + at, line)));
        at += length + 1;
    }
    return FV_OK;
}

static fv_err load_merges(const char *folder, fv_json *merges)
{
    char path[PATH_MAX];
    fv_file_map map;
    FV_TRY(fv_file_path(path, sizeof path, folder, "merges.txt"));
    FV_TRY(fv_file_open_map(path, &map));
    fv_err err = read_merges((const char *)map.data, map.size, merges);
    fv_file_close_map(&map);
    return err;
}

/* vocab.json and merges.txt say nothing about how text is cut: as Qwen2 does. */
static fv_err load_bare(const char *folder, fv_json **out)
{
    char path[PATH_MAX];
    fv_json *vocab = NULL;
    FV_TRY(fv_file_path(path, sizeof path, folder, "vocab.json"));
    FV_TRY(fv_json_load(path, &vocab));
    fv_err err = fv_tokenizer_make_frame(out);
    if (err != FV_OK) {
        fv_json_destroy(vocab);
        return err;
    }
    fv_json *model = fv_json_get(*out, "model");
    err = fv_json_set(model, "vocab", vocab);
    return err == FV_OK ? load_merges(folder, fv_json_get(model, "merges")) : err;
}

static fv_err load_base(const char *folder, fv_json **out, int *is_bare)
{
    char path[PATH_MAX], vocab[PATH_MAX];
    FV_TRY(fv_file_path(path, sizeof path, folder, "tokenizer.json"));
    FV_TRY(fv_file_path(vocab, sizeof vocab, folder, "vocab.json"));
    *is_bare = !fv_file_exists(path) && fv_file_exists(vocab);
    return *is_bare ? load_bare(folder, out) : fv_json_load(path, out);
}

/* Read the added tokens that are there; a list that is missing becomes an empty one. */
static fv_err start(description *d)
{
    const fv_json *added = fv_json_get(d->root, "added_tokens");
    if (!added || fv_json_kind_of(added) == FV_JSON_NULL)
        FV_TRY(fv_json_set(d->root, "added_tokens", fv_json_make_array()));
    d->added = fv_json_get(d->root, "added_tokens");
    d->places = fv_json_make_object();
    FV_CHECK(d->places, FV_ERR_MEMORY, "no memory for the places of tokens");
    for (size_t i = 0; i < fv_json_size(d->added); i++)
        FV_TRY(note_place(d, fv_json_at(d->added, i), i));
    return FV_OK;
}

fv_err fv_tokenizer_describe(const char *folder, fv_json **out)
{
    description d = {.largest = -1};
    int is_bare = 0;
    *out = NULL;
    fv_err err = load_base(folder, &d.root, &is_bare);
    int is_object = err == FV_OK && fv_json_kind_of(d.root) == FV_JSON_OBJECT;
    if (is_object) /* anything else is refused when it is loaded */
        err = start(&d);
    if (is_object && err == FV_OK && fv_json_kind_of(d.added) == FV_JSON_ARRAY)
        err = add_configured(&d, folder, is_bare);
    fv_json_destroy(d.places);
    if (err != FV_OK)
        fv_json_destroy(d.root);
    else
        *out = d.root;
    return err;
}
