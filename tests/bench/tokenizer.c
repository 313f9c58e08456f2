/* Speed of the tokenizer on one thread. English and Chinese are drawn from the vocabulary's own words: ids
 * rise as words get rarer, so a draw by Zipf's law over their order is like text, rare words included.
 *
 * usage: bench_tokenizer [FOLDER [FILE]...]   (FILE: further texts) */
#include "bench.h"
#include "fovea/base/file.h"
#include "fovea/base/rng.h"
#include "fovea/model/tokenizer/tokenizer.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS = 7, TEXT_BYTES = 4 << 20, MAX_WORDS = 1 << 17 };

/* Ids of the words of one language, in order, to be drawn from. */
typedef struct words {
    const fv_tokenizer *tokenizer;
    int32_t ids[MAX_WORDS];
    int n;
    fv_rng_key key;
    uint32_t n_draws;
} words;

static fv_err word_text(const words *w, int32_t id, fv_buffer *out)
{
    out->size = 0;
    return fv_tokenizer_decode(w->tokenizer, &id, 1, 1, out);
}

/* A space and small letters. */
static int is_english(const fv_buffer *text)
{
    if (text->size < 2 || text->data[0] != ' ')
        return 0;
    for (size_t i = 1; i < text->size; i++)
        if (text->data[i] < 'a' || text->data[i] > 'z')
            return 0;
    return 1;
}

/* Code points U+4000 to U+9FFF. */
static int is_chinese(const fv_buffer *text)
{
    for (size_t i = 0; i < text->size; i++)
        if (i % 3 == 0 ? (uint8_t)text->data[i] < 0xE4 || (uint8_t)text->data[i] > 0xE9
                       : ((uint8_t)text->data[i] & 0xC0) != 0x80)
            return 0;
    return text->size > 0 && text->size % 3 == 0;
}

static fv_err find_words(const fv_tokenizer *t, int (*belongs)(const fv_buffer *), words *out)
{
    fv_buffer text = {0};
    fv_err err = FV_OK;
    *out = (words){.tokenizer = t, .key = {.seed = 1}};
    for (int32_t id = 0; id < fv_tokenizer_size(t) && out->n < MAX_WORDS; id++) {
        FV_TRY_DONE(word_text(out, id, &text));
        if (belongs(&text))
            out->ids[out->n++] = id;
    }
    FV_CHECK_DONE(out->n > 0, FV_ERR_ARGUMENT, "the vocabulary has no words of this language");
done:
    fv_buffer_fini(&text);
    return err;
}

static float draw(words *w)
{
    return fv_rng_uniform(w->key, w->n_draws++);
}

/* Zipf's law: the chance of the word of rank r falls as 1 / r, so the logarithm of r is uniform. */
static int32_t draw_word(words *w)
{
    int rank = (int)pow((double)w->n + 1, draw(w)) - 1;
    return w->ids[rank < w->n ? rank : w->n - 1];
}

/* One word in twenty is joined with the one before to a word that the vocabulary does not have; after one in
 * eight comes a mark. */
static fv_err write_text(words *w, const char *comma, const char *stop, fv_buffer *out)
{
    fv_buffer word = {0};
    fv_err err = FV_OK;
    while (out->size < TEXT_BYTES) {
        FV_TRY_DONE(word_text(w, draw_word(w), &word));
        size_t blank = word.data[0] == ' ' && draw(w) < 0.05f;
        FV_TRY_DONE(fv_buffer_append(out, word.data + blank, word.size - blank));
        float mark = draw(w);
        if (mark < 0.12f)
            FV_TRY_DONE(fv_buffer_print(out, "%s", mark < 0.06f ? comma : mark < 0.11f ? stop : ".\n\n"));
    }
done:
    fv_buffer_fini(&word);
    return err;
}

static fv_err repeat(const char *unit, fv_buffer *out)
{
    while (out->size < TEXT_BYTES)
        FV_TRY(fv_buffer_print(out, "%s", unit));
    return FV_OK;
}

static fv_err append_file(const char *path, fv_buffer *out)
{
    fv_file_map map;
    FV_TRY(fv_file_open_map(path, &map));
    fv_err err = fv_buffer_append(out, map.data, map.size);
    fv_file_close_map(&map);
    return err;
}

/* The C files of a folder. */
static fv_err append_sources(const char *folder, fv_buffer *out)
{
    char path[4096];
    DIR *list = opendir(folder);
    FV_CHECK(list, FV_ERR_IO, "cannot list %s", folder);
    fv_err err = FV_OK;
    for (struct dirent *entry; err == FV_OK && (entry = readdir(list));)
        if (strstr(entry->d_name, ".c")) {
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
            err = append_file(path, out);
        }
    closedir(list);
    return err;
}

static fv_err measure(const fv_tokenizer *t, const char *name, fv_tokenize_mode mode, const fv_buffer *text)
{
    double seconds[ROUNDS];
    size_t n = 0;
    for (int round = -1; round < ROUNDS; round++) {
        fv_tokens tokens = {0};
        double start = bench_thread_now();
        FV_TRY(fv_tokenizer_encode(t, text->data, text->size, mode, &tokens));
        if (round >= 0)
            seconds[round] = bench_thread_now() - start;
        n = tokens.n;
        fv_tokens_fini(&tokens);
    }
    double s = bench_median(seconds, ROUNDS);
    printf("%-28s %8.2f %12.2f %10.1f %10.1f\n", name, 1e-6 * (double)text->size,
           (double)text->size / (double)n, 1e-6 * (double)text->size / s, 1e-6 * (double)n / s);
    return FV_OK;
}

/* text is emptied after. */
static fv_err run(const fv_tokenizer *t, const char *name, fv_err written, fv_buffer *text)
{
    fv_err err = written;
    if (err == FV_OK)
        err = measure(t, name, FV_TOKENIZE_PLAIN, text);
    fv_buffer_fini(text);
    return err;
}

static fv_err run_languages(const fv_tokenizer *t)
{
    static words w;
    fv_buffer text = {0};
    FV_TRY(find_words(t, is_english, &w));
    FV_TRY(write_text(&w, ",", ".", &text));
    FV_TRY(measure(t, "English, as markup", FV_TOKENIZE_MARKUP, &text));
    FV_TRY(run(t, "English", FV_OK, &text));
    FV_TRY(find_words(t, is_chinese, &w));
    return run(t, "Chinese", write_text(&w, "\xEF\xBC\x8C", "\xE3\x80\x82", &text), &text);
}

static fv_err run_units(const fv_tokenizer *t)
{
    static const struct {
        const char *name, *unit;
    } units[] = {{"numbers", "3.14 1,200,000 2026-01-01 "},
                 {"one letter without end", "a"},
                 {"one word without end", "tokenizer"},
                 {"marks to be composed", "e\xCC\x81"},
                 {"bytes that are no text", "\xFF\x80"}};
    fv_buffer text = {0};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        FV_TRY(run(t, units[i].name, repeat(units[i].unit, &text), &text));
    return FV_OK;
}

static fv_err run_all(const char *folder, char **files, int n_files)
{
    fv_tokenizer *t;
    fv_buffer text = {0};
    fv_err err = FV_OK;
    FV_TRY(fv_tokenizer_load(folder, &t));
    printf("%-28s %8s %12s %10s %10s\n", "text", "MB", "bytes/token", "MB/s", "Mtoken/s");
    FV_TRY_DONE(run_languages(t));
    FV_TRY_DONE(run(t, "code (this project's)", append_sources(BENCH_SOURCES "/src/model", &text), &text));
    FV_TRY_DONE(run_units(t));
    for (int i = 0; i < n_files; i++)
        FV_TRY_DONE(run(t, files[i], append_file(files[i], &text), &text));
done:
    fv_tokenizer_destroy(t);
    return err;
}

int main(int argc, char **argv)
{
    if (run_all(argc > 1 ? argv[1] : BENCH_DATA "/tokenizer", argv + 2, argc > 2 ? argc - 2 : 0) == FV_OK)
        return 0;
    fprintf(stderr, "%s\n", fv_error_text());
    return 1;
}
