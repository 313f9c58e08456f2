#include "fovea/data/synthetic/print.h"
#include "fovea/io/image/paint.h"
#include "data/synthetic/synthetic.h"

#include <stdio.h>

enum {
    MAX_LINES = 8,
    MAX_COLUMNS = 4,
    SMALL_MIN = 8, /* pixels of an em */
    SMALL_MAX = 10,
    LARGE_MIN = 26,
    LARGE_MAX = 34,
    TITLE = 36,
    TITLE_ROOM = 64,
    STEP = 56, /* sides are multiples: two tokens at full size, one at half */
    MIN_SIDE = 448,
    MARGIN = 28,
    N_NAMES = 24,
    N_MONTHS = 12
};

static const char *const names[N_NAMES] = {"Apples", "Bread",   "Coffee",  "Dates", "Eggs",   "Flour",
                                           "Grapes", "Honey",   "Ice",     "Jam",   "Kale",   "Lemons",
                                           "Milk",   "Nuts",    "Olives",  "Peas",  "Rice",   "Salt",
                                           "Tea",    "Vanilla", "Walnuts", "Yeast", "Onions", "Beans"};
static const char *const months[N_MONTHS] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                             "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char *const families[] = {"sans-serif", "serif", "monospace"};

typedef enum scene_kind { NOTE, TABLE, CHART, KINDS } scene_kind;

typedef struct scene {
    fv_draws draws;
    scene_kind kind;
    int is_small, n_lines, n_columns;
    int name[MAX_LINES], month[MAX_COLUMNS], value[MAX_LINES][MAX_COLUMNS];
    int line, column; /* asked for */
    fv_paint_font font;
    fv_paint_color ground, mark; /* mark: of bars and rules */
    double x, y;                 /* upper left corner, pixels */
} scene;

/* Different numbers below n, in random order. */
static void choose(fv_draws *draws, int n, int k, int *out)
{
    for (int i = 0; i < k; i++) {
        int is_new;
        do {
            out[i] = fv_draw(draws, 0, n - 1);
            is_new = 1;
            for (int j = 0; j < i; j++)
                is_new &= out[j] != out[i];
        } while (!is_new);
    }
}

static fv_paint_color draw_color(fv_draws *draws, int low, int high)
{
    int r = fv_draw(draws, low, high), g = fv_draw(draws, low, high), b = fv_draw(draws, low, high);
    return (fv_paint_color){(uint8_t)r, (uint8_t)g, (uint8_t)b};
}

static void draw_content(scene *s)
{
    fv_draws *draws = &s->draws;
    s->kind = (scene_kind)fv_draw(draws, 0, KINDS - 1);
    s->n_lines = fv_draw(draws, 3, s->kind == NOTE ? MAX_LINES : 6);
    s->n_columns = s->kind == TABLE ? fv_draw(draws, 2, MAX_COLUMNS) : 1;
    choose(draws, N_NAMES, s->n_lines, s->name);
    choose(draws, N_MONTHS, s->n_columns, s->month);
    for (int l = 0; l < s->n_lines; l++)
        for (int c = 0; c < s->n_columns; c++)
            s->value[l][c] = fv_draw(draws, 10, 999);
    s->line = fv_draw(draws, 0, s->n_lines - 1);
    s->column = fv_draw(draws, 0, s->n_columns - 1);
}

static void draw_style(scene *s)
{
    fv_draws *draws = &s->draws;
    s->font = (fv_paint_font){.family = families[fv_draw(draws, 0, 2)],
                              .is_bold = fv_draw(draws, 0, 3) == 0,
                              .color = draw_color(draws, 0, 70)};
    s->ground = draw_color(draws, 225, 255);
    s->mark = draw_color(draws, 90, 190);
}

/* Width and height of the scene in ems. */
static void measure(const scene *s, double size[2])
{
    size[0] = s->kind == NOTE ? 12 : s->kind == TABLE ? 6 + 3.5 * s->n_columns : 5.5 * s->n_lines;
    size[1] = s->kind == NOTE ? 1.6 * s->n_lines : s->kind == TABLE ? 1.7 * (s->n_lines + 1) : 11;
}

static int side_of(fv_draws *draws, double content)
{
    int side = (int)(content + 2 * MARGIN + STEP - 1) / STEP * STEP;
    return (side < MIN_SIDE ? MIN_SIDE : side) + STEP * fv_draw(draws, 0, 4);
}

/* The page is as large as it must be for large letters, whichever are drawn. */
static void draw_page(scene *s, int page[2])
{
    fv_draws *draws = &s->draws;
    double em = fv_draw(draws, LARGE_MIN, LARGE_MAX), size[2];
    measure(s, size);
    page[0] = side_of(draws, size[0] * em);
    page[1] = side_of(draws, size[1] * em + TITLE_ROOM);
    s->font.size = s->is_small ? fv_draw(draws, SMALL_MIN, SMALL_MAX) : em;
    s->x = fv_draw(draws, MARGIN, page[0] - MARGIN - (int)(size[0] * s->font.size));
    s->y = fv_draw(draws, MARGIN + TITLE_ROOM, page[1] - MARGIN - (int)(size[1] * s->font.size));
}

/* Text at a place given in ems from the scene's corner. */
static fv_err put_text(fv_paint *paint, const scene *s, double x, double y, const char *text)
{
    return fv_paint_text(paint, &s->font, s->x + x * s->font.size, s->y + y * s->font.size, text);
}

static fv_err put_number(fv_paint *paint, const scene *s, double x, double y, int value)
{
    char text[16];
    snprintf(text, sizeof text, "%d", value);
    return put_text(paint, s, x, y, text);
}

static void put_box(fv_paint *paint, const scene *s, const double ems[4])
{
    double em = s->font.size;
    fv_paint_box(paint, (const double[]){s->x + ems[0] * em, s->y + ems[1] * em, ems[2] * em, ems[3] * em},
                 s->mark);
}

static fv_err paint_note(fv_paint *paint, const scene *s)
{
    for (int l = 0; l < s->n_lines; l++) {
        char text[64];
        snprintf(text, sizeof text, "%s: %d", names[s->name[l]], s->value[l][0]);
        FV_TRY(put_text(paint, s, 0, 1.6 * l, text));
    }
    return FV_OK;
}

static fv_err paint_table(fv_paint *paint, const scene *s)
{
    const double width = 6 + 3.5 * s->n_columns, rule = 0.06;
    for (int c = 0; c < s->n_columns; c++)
        FV_TRY(put_text(paint, s, 6 + 3.5 * c, 0.2, months[s->month[c]]));
    for (int l = 0; l < s->n_lines; l++) {
        double y = 1.7 * (l + 1);
        put_box(paint, s, (const double[]){0, y - rule, width, rule});
        FV_TRY(put_text(paint, s, 0.3, y + 0.2, names[s->name[l]]));
        for (int c = 0; c < s->n_columns; c++)
            FV_TRY(put_number(paint, s, 6 + 3.5 * c, y + 0.2, s->value[l][c]));
    }
    return FV_OK;
}

static fv_err paint_chart(fv_paint *paint, const scene *s)
{
    for (int l = 0; l < s->n_lines; l++) {
        double x = 5.5 * l, height = 7.5 * s->value[l][0] / 1000, top = 9.2 - height;
        put_box(paint, s, (const double[]){x + 0.6, top, 2.6, height});
        FV_TRY(put_number(paint, s, x + 0.8, top - 1.5, s->value[l][0]));
        FV_TRY(put_text(paint, s, x, 9.4, names[s->name[l]]));
    }
    return FV_OK;
}

static fv_err paint_title(fv_paint *paint, scene *s)
{
    char text[32];
    fv_paint_font font = s->font;
    int is_there = fv_draw(&s->draws, 0, 1), number = fv_draw(&s->draws, 1, 99);
    font.size = TITLE;
    snprintf(text, sizeof text, "Report No. %d", number);
    return is_there ? fv_paint_text(paint, &font, MARGIN, MARGIN, text) : FV_OK;
}

static fv_err paint_scene(scene *s, const int page[2], fv_image *out)
{
    static fv_err (*const painters[KINDS])(fv_paint *, const scene *) = {paint_note, paint_table,
                                                                         paint_chart};
    fv_paint *paint;
    FV_TRY(fv_paint_create(page[0], page[1], s->ground, &paint));
    fv_err err = paint_title(paint, s);
    if (err == FV_OK)
        err = painters[s->kind](paint, s);
    if (err == FV_OK)
        err = fv_paint_image(paint, out);
    fv_paint_destroy(paint);
    return err;
}

static void print_question(const scene *s, char *out, size_t size)
{
    const char *name = names[s->name[s->line]];
    if (s->kind == NOTE)
        snprintf(out, size, "Which number stands behind %s?", name);
    else if (s->kind == TABLE)
        snprintf(out, size, "What is the value of %s in %s?", name, months[s->month[s->column]]);
    else
        snprintf(out, size, "What is the value of the bar of %s?", name);
}

fv_err fv_print_row(uint64_t seed, uint64_t number, fv_row *out)
{
    scene s = {.draws = fv_draws_of(seed, FV_DRAW_LOOK, number),
               .is_small = fv_synthetic_is_small(seed, number)};
    char question[128], answer[16];
    int page[2];
    fv_image image = {0};
    *out = (fv_row){0};
    draw_content(&s);
    draw_style(&s);
    draw_page(&s, page);
    FV_TRY(paint_scene(&s, page, &image));
    print_question(&s, question, sizeof question);
    snprintf(answer, sizeof answer, "%d", s.value[s.line][s.column]);
    const fv_synthetic_texts texts = {question, answer, "print", s.is_small};
    fv_err err = fv_synthetic_row(&texts, &image, out);
    fv_image_fini(&image);
    return err;
}
