#include "temp_folder.h"

#include "fovea/io/safetensors.h"

/* A file in memory: the length of the header (or the one given), the header, n_data bytes. */
static uint8_t *make_file(const char *header, uint64_t announced, size_t n_data, size_t *size)
{
    size_t n_header = strlen(header);
    *size = 8 + n_header + n_data;
    uint8_t *file = calloc(1, *size);
    assert_non_null(file);
    for (int i = 0; i < 8; i++)
        file[i] = (uint8_t)(announced >> (8 * i));
    memcpy(file + 8, header, n_header);
    return file;
}

static fv_err parse(const char *header, size_t n_data)
{
    size_t size;
    uint8_t *file = make_file(header, strlen(header), n_data, &size);
    fv_safetensors out;
    fv_err err = fv_safetensors_parse(file, size, "t", &out);
    if (err == FV_OK)
        fv_safetensors_close(&out);
    free(file);
    return err;
}

static void test_a_good_file(void **state)
{
    (void)state;
    const char *header = "{\"__metadata__\": {\"format\": \"pt\"},"
                         "\"b\": {\"dtype\": \"F32\", \"shape\": [2, 3], \"data_offsets\": [2, 26]},"
                         "\"a\": {\"dtype\": \"BF16\", \"shape\": [], \"data_offsets\": [0, 2]},"
                         "\"e\": {\"dtype\": \"I64\", \"shape\": [0, 5], \"data_offsets\": [26, 26]}}   ";
    size_t size;
    uint8_t *file = make_file(header, strlen(header), 26, &size);
    fv_safetensors out;
    assert_ok(fv_safetensors_parse(file, size, "t", &out));
    assert_int_equal(out.n, 3);
    const fv_safetensor *b = fv_safetensors_find(&out, "b");
    assert_non_null(b);
    assert_int_equal(b->dtype, FV_F32);
    assert_int_equal(b->n_dims, 2);
    assert_int_equal(b->dim[1], 3);
    assert_ptr_equal(b->data, file + 8 + strlen(header) + 2);
    assert_int_equal(fv_safetensors_find(&out, "a")->n_dims, 0);
    assert_int_equal(fv_safetensors_find(&out, "e")->bytes, 0);
    assert_null(fv_safetensors_find(&out, "c"));
    fv_safetensors_close(&out);
    free(file);
    assert_ok(parse("{}", 0));
}

static void test_lying_lengths(void **state)
{
    (void)state;
    static const uint64_t lies[] = {3, 100, 100000001, 1ull << 40, UINT64_MAX, UINT64_MAX - 7};
    fv_safetensors out;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        size_t size;
        uint8_t *file = make_file("{}", lies[i], 0, &size);
        assert_fails(fv_safetensors_parse(file, size, "t", &out), FV_ERR_FORMAT, "t: a header of");
        free(file);
    }
    for (size_t size = 0; size < 8; size++) {
        uint8_t few[8] = {0};
        assert_fails(fv_safetensors_parse(few, size, "t", &out), FV_ERR_FORMAT, "too few");
    }
}

static void test_hostile_headers(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t n_data;
        const char *part;
    } cases[] = {
        {"", 4, "does not begin with {"},
        {"[]", 0, "does not begin with {"},
        {"{\"a\": 1", 0, "not valid JSON"},
        {"{\"a\": 1}", 0, "tensor \"a\": not an object"},
        {"{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4]}, "
         "\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [4, 8]}}",
         8, "duplicate"},
        {"{\"__metadata__\": {\"a\": 1}}", 0, "__metadata__ has \"a\""},
        {"{\"a\": {\"shape\": [1], \"data_offsets\": [0, 4]}}", 4, "\"dtype\" is missing"},
        {"{\"a\": {\"dtype\": \"F33\", \"shape\": [1], \"data_offsets\": [0, 4]}}", 4,
         "unknown dtype \"F33\""},
        {"{\"a\": {\"dtype\": \"F32\", \"data_offsets\": [0, 4]}}", 4, "\"shape\" is not a list"},
        {"{\"a\": {\"dtype\": \"F32\", \"shape\": [-1], \"data_offsets\": [0, 4]}}", 4, "\"shape\" has -1"},
        {"{\"a\": {\"dtype\": \"F32\", \"shape\": [1.5], \"data_offsets\": [0, 4]}}", 4,
         "\"shape\" is a real"},
        {"{\"a\": {\"dtype\": \"F32\", \"shape\": [1,1,1,1,1,1,1,1,1], \"data_offsets\": [0, 4]}}", 4,
         "9 dimensions"},
        {"{\"a\": {\"dtype\": \"F32\", \"shape\": [4294967296, 4294967296], \"data_offsets\": [0, 0]}}", 0,
         "more elements than 64 bits"},
        {"{\"a\": {\"dtype\": \"F32\", \"shape\": [9223372036854775807, 2], \"data_offsets\": [0, 4]}}", 4,
         "more elements than 64 bits"},
        {"{\"a\": {\"dtype\": \"F32\", \"shape\": [1]}}", 4, "\"data_offsets\" is not a list of two"},
        {"{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4, 8]}}", 4,
         "is not a list of two"},
        {"{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [4, 0]}}", 4, "are [4, 0]"},
        {"{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [-4, 0]}}", 4, "are [-4, 0]"},
        {"{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, 8]}}", 4,
         "the file has 4 bytes"},
        {"{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, 4]}}", 4, "make 8 bytes"},
        {"{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4]}, "
         "\"b\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4]}}",
         4, "begins at byte 0 of the data, expected 4"},
        {"{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4]}, "
         "\"b\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [8, 12]}}",
         12, "begins at byte 8 of the data, expected 4"},
        {"{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4]}}", 5, "end at byte 4"},
        {"{}", 1, "end at byte 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fv_err err = parse(cases[i].header, cases[i].n_data);
        assert_true(err == FV_ERR_FORMAT || err == FV_ERR_UNSUPPORTED);
        if (!strstr(fv_error_text(), cases[i].part))
            fail_msg("case %zu: \"%s\" does not contain \"%s\"", i, fv_error_text(), cases[i].part);
    }
}

static void test_deeply_nested_header(void **state)
{
    (void)state;
    enum { DEPTH = 100000 };
    char *header = malloc(DEPTH + 1);
    assert_non_null(header);
    memset(header, '[', DEPTH);
    memcpy(header, "{\"a\":", 5);
    header[DEPTH] = '\0';
    assert_fails(parse(header, 0), FV_ERR_FORMAT, "nested more than");
    free(header);
}

static void test_every_truncation_is_refused(void **state)
{
    (void)state;
    fv_file_map map;
    fv_safetensors out;
    assert_ok(fv_file_open_map(test_data("golden/qwen3/model.safetensors"), &map));
    assert_ok(fv_safetensors_parse(map.data, map.size, "t", &out));
    fv_safetensors_close(&out);
    for (size_t size = 0; size < map.size; size += size < 4000 ? 97 : 49999)
        assert_int_equal(fv_safetensors_parse(map.data, size, "t", &out), FV_ERR_FORMAT);
    fv_file_close_map(&map);
}

static void test_what_is_written_is_read(void **state)
{
    (void)state;
    const fv_safetensor items[] = {{.name = "z", .dtype = FV_F16, .n_dims = 1, .dim = {3}},
                                   {.name = "a", .dtype = FV_F32, .n_dims = 2, .dim = {1, 2}}};
    const uint8_t data[14] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
    fv_safetensors_writer writer;
    fv_safetensors file;
    const char *path = temp_path("w.safetensors");
    assert_ok(fv_safetensors_create(path, items, 2, &writer));
    assert_ok(fv_safetensors_append(&writer, data, 5));
    assert_ok(fv_safetensors_append(&writer, data + 5, 9));
    assert_int_equal(fv_safetensors_append(&writer, data, 1), FV_ERR_INTERNAL);
    assert_int_equal(fv_file_exists(path), 0);
    assert_ok(fv_safetensors_commit(&writer));
    assert_ok(fv_safetensors_open(path, &file));
    assert_memory_equal(fv_safetensors_find(&file, "z")->data, data, 6);
    assert_memory_equal(fv_safetensors_find(&file, "a")->data, data + 6, 8);
    assert_int_equal((uintptr_t)fv_safetensors_find(&file, "z")->data % 64, 0);
    fv_safetensors_close(&file);

    /* Unfinished or abandoned: the old file stays. */
    assert_ok(fv_safetensors_create(path, items, 1, &writer));
    assert_fails(fv_safetensors_commit(&writer), FV_ERR_INTERNAL, "6 bytes are missing");
    assert_ok(fv_safetensors_create(path, items, 1, &writer));
    fv_safetensors_abandon(&writer);
    assert_ok(fv_safetensors_open(path, &file));
    assert_int_equal(file.n, 2);
    fv_safetensors_close(&file);
    assert_fails(fv_safetensors_create("/nowhere/x", items, 2, &writer), FV_ERR_IO, "/nowhere/x");
    assert_fails(fv_safetensors_open("/nowhere/x", &file), FV_ERR_IO, "/nowhere/x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_good_file),
        cmocka_unit_test(test_lying_lengths),
        cmocka_unit_test(test_hostile_headers),
        cmocka_unit_test(test_deeply_nested_header),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_what_is_written_is_read),
    };
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
