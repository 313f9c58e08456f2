/* A question, an answer and a truth from anywhere, parted by NULs: every scorer gives a score and a reading
 * that is text, or says that the truth is not of its kind; and the answer as a list that Python printed. */
#include "fovea/base/text/utf8.h"
#include "fovea/eval/answers.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(int holds)
{
    if (!holds)
        __builtin_trap();
}

static void check_text(const fv_buffer *text)
{
    for (size_t at = 0; at < text->size;) {
        int n = fv_utf8_decode(text->data + at, text->size - at, NULL);
        expect(n > 0);
        at += (size_t)n;
    }
}

static void check_scorer(const char *name, const fv_said *said)
{
    fv_scorer scorer;
    double score = -1;
    fv_buffer reading = {0};
    expect(fv_scorer_find(name, &scorer) == FV_OK);
    fv_err err = fv_scorer_score(&scorer, said, &score, &reading);
    expect(err == FV_OK || err == FV_ERR_FORMAT);
    expect(err != FV_OK || (score >= 0 && score <= 1));
    check_text(&reading);
    fv_buffer_fini(&reading);
}

/* Up to the first NUL; *rest is what is behind it. */
static fv_slice take_part(fv_slice *rest)
{
    fv_slice all = *rest;
    size_t end = fv_slice_find(all, (fv_slice){"", 1});
    *rest =
        end == FV_SLICE_NONE ? fv_slice_cut(all, all.size, all.size) : fv_slice_cut(all, end + 1, all.size);
    return end == FV_SLICE_NONE ? all : fv_slice_cut(all, 0, end);
}

enum { MOST_BYTES = 1024 /* docvqa takes the square of it */ };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"chartqa", "docvqa",  "ocrbench", "realworldqa", "pope",
                                        "mme",     "options", "mmmu",     "boxed"};
    fv_slice rest = {(const char *)data, size < MOST_BYTES ? size : MOST_BYTES};
    fv_said said = {.category = fv_slice_of(size % 2 ? "HME100k" : "")};
    fv_json *list;
    said.question = take_part(&rest);
    said.answer = take_part(&rest);
    said.truth = rest;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        check_scorer(names[i], &said);
    if (fv_python_list_parse(said.answer.data, said.answer.size, &list) == FV_OK)
        fv_json_destroy(list);
    return 0;
}
