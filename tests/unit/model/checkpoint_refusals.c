/* What is no whole checkpoint of this model is refused with a sentence that names the difference. */
#include "checkpoint_case.h"

#include <sys/stat.h>
#include <xxhash.h>

static fv_model_shape shape;
static const char *saved; /* a checkpoint of 2 x 2 ranks */

static int setup(void **state)
{
    static char path[4096];
    if (temp_setup(state) != 0)
        return -1;
    shape = tiny_shape(FV_FAMILY_QWEN3, 1);
    shape.text.vocab = 34;
    assert_ok(tiny_write("model", &shape, FV_FOLDER_V4, FV_FOLDER_SHARD_BYTES));
    snprintf(path, sizeof path, "%s", checkpoint_save("saved", &shape, 2, 2, temp_path("model")));
    saved = path;
    return 0;
}

/* A fresh copy of the checkpoint. */
static const char *copy(void)
{
    char command[9000];
    snprintf(command, sizeof command, "rm -rf '%s' && cp -r '%s' '%s'", temp_path("copy"), saved,
             temp_path("copy"));
    assert_int_equal(system(command), 0);
    return temp_path("copy");
}

static fv_err open_and_check(const char *path)
{
    fv_checkpoint *c;
    FV_TRY(fv_checkpoint_open(path, &c));
    fv_err err = FV_OK;
    for (fv_checkpoint_set s = 0; s < FV_CHECKPOINT_N_SETS && err == FV_OK; s++)
        err = fv_checkpoint_check(c, s);
    fv_checkpoint_close(c);
    return err;
}

static char *read_whole(const char *path, size_t *size)
{
    fv_file_map map;
    assert_ok(fv_file_open_map(path, &map));
    char *data = malloc(map.size + 1);
    memcpy(data, map.data, map.size);
    *size = map.size;
    fv_file_close_map(&map);
    return data;
}

static void put(const char *path, size_t place, char byte)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)place, SEEK_SET), 0);
    assert_int_equal(fputc(byte, file), (unsigned char)byte);
    assert_int_equal(fclose(file), 0);
}

/* The checksum of a file in the list is made true again, as a program that wrote it on purpose would. */
static void seal(const char *folder, const char *name)
{
    char path[5000], list[5000], hex[33];
    size_t size, list_size;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(list, sizeof list, "%s/checksums", folder);
    char *data = read_whole(path, &size), *text = read_whole(list, &list_size);
    XXH128_hash_t hash = XXH3_128bits(data, size);
    snprintf(hex, sizeof hex, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
    text[list_size] = '\0';
    memcpy(strstr(text, name) - 34, hex, 32);
    assert_ok(fv_file_write(list, text, list_size));
    free(data);
    free(text);
}

/* A bit of a byte of a file changes: verify sees it, and so does a load. */
static void flip(const char *folder, const char *name, size_t step)
{
    char path[5000];
    size_t size;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    char *data = read_whole(path, &size);
    for (size_t i = 0; i < size; i += step) {
        char changed = (char)(data[i] ^ (1 << i % 8));
        put(path, i, changed);
        if (fv_checkpoint_verify(folder, 0, 1) == FV_OK)
            fail_msg("bit %zu of byte %zu of %s is not verified", i % 8, i, name);
        if (open_and_check(folder) == FV_OK)
            fail_msg("bit %zu of byte %zu of %s is not seen at load", i % 8, i, name);
        put(path, i, data[i]);
    }
    free(data);
    assert_ok(fv_checkpoint_verify(folder, 0, 1));
    assert_ok(open_and_check(folder));
}

static void test_flips(void **state)
{
    (void)state;
    const char *folder = copy();
    flip(folder, "checksums", 1);
    flip(folder, "config.json", 7);
    flip(folder, "index.h5", 509);
    flip(folder, "shard_00000.h5", 101);
    flip(folder, "shard_00003.h5", 997);
    char path[5000];
    snprintf(path, sizeof path, "%s/shard_00002.h5", folder);
    fv_hdf5 *file;
    uint64_t offset, n;
    for (fv_checkpoint_set s = 0; s < FV_CHECKPOINT_N_SETS; s++) {
        assert_ok(fv_hdf5_open(path, &file));
        assert_ok(fv_hdf5_locate(file, fv_checkpoint_set_name(s), FV_F32, &offset, &n));
        assert_ok(fv_hdf5_close(file));
        put(path, offset + 4 * (n - 1), 1);
        char sentence[64];
        snprintf(sentence, sizeof sentence, "shard_00002.h5 is damaged: the checksum of \"%s\" is",
                 fv_checkpoint_set_name(s));
        assert_fails(open_and_check(folder), FV_ERR_FORMAT, sentence);
        put(path, offset + 4 * (n - 1), 0);
        folder = copy();
    }
}

/* Parts of the list are shared out; each sees its own files only. */
static void test_parts(void **state)
{
    (void)state;
    const char *folder = copy();
    int n_found = 0;
    char path[5000];
    snprintf(path, sizeof path, "%s/shard_00001.h5", folder);
    put(path, 9000, 77);
    for (int part = 0; part < 3; part++)
        n_found += fv_checkpoint_verify(folder, part, 3) != FV_OK;
    assert_int_equal(n_found, 1);
}

static void test_files(void **state)
{
    (void)state;
    static const char *const names[] = {"index.h5", "shard_00001.h5", "config.json"};
    char path[5000];
    for (int i = 0; i < 3; i++) {
        struct stat info;
        snprintf(path, sizeof path, "%s/%s", copy(), names[i]);
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(truncate(path, info.st_size - 1), 0);
        assert_fails(fv_checkpoint_verify(temp_path("copy"), 0, 1), FV_ERR_FORMAT, names[i]);
        assert_fails(open_and_check(temp_path("copy")), FV_ERR_FORMAT, names[i]);
        assert_int_equal(unlink(path), 0);
        assert_fails(fv_checkpoint_verify(temp_path("copy"), 0, 1), FV_ERR_FORMAT, names[i]);
        assert_fails(open_and_check(temp_path("copy")), FV_ERR_FORMAT, "is missing");
    }
    snprintf(path, sizeof path, "%s/checksums", copy());
    assert_int_equal(truncate(path, 0), 0);
    assert_fails(open_and_check(temp_path("copy")), FV_ERR_FORMAT, "checksums is empty");
    copy();
    temp_write("copy/shard_00004.h5", "");
    assert_fails(open_and_check(temp_path("copy")), FV_ERR_FORMAT,
                 "shard_00004.h5 is not of this checkpoint");
    copy();
    temp_write("copy/.nfs0001", "left by the file system");
    assert_ok(fv_checkpoint_verify(temp_path("copy"), 0, 1));
    assert_ok(open_and_check(temp_path("copy")));
}

static void test_versions(void **state)
{
    (void)state;
    fv_hdf5 *index;
    static const char *const said[] = {
        "copy/index.h5 has format_version 2, this program reads 3: end the run with the fovea that wrote it",
        "copy/index.h5 has format_version 4, this program reads 3: use a newer fovea"};
    for (int i = 0; i < 2; i++) {
        copy();
        assert_ok(fv_hdf5_create(temp_path("copy/index.h5"), &index));
        assert_ok(fv_hdf5_write_attribute(index, "format_version", (uint64_t)(2 + 2 * i)));
        assert_ok(fv_hdf5_close(index));
        seal(temp_path("copy"), "index.h5");
        assert_ok(fv_checkpoint_verify(temp_path("copy"), 0, 1));
        assert_fails(open_and_check(temp_path("copy")), FV_ERR_UNSUPPORTED, said[i]);
    }
}

/* config.json of another model, with everything else as it was. */
static void test_models(void **state)
{
    (void)state;
    const struct {
        fv_model_shape shape;
        const char *sentence;
    } others[] = {
        {tiny_shape(FV_FAMILY_QWEN3, 0), "no tensor \"weights/lm_head.weight\", which config.json asks for"},
        {tiny_shape(FV_FAMILY_QWEN2, 1), "no tensor \"weights/model.layers.0.self_attn.q_proj.bias\""},
        {tiny_shape(FV_FAMILY_QWEN3, 1),
         "tensor \"weights/model.embed_tokens.weight\" of shape [34, 16], expected [33, 16] by config.json"}};
    for (int i = 0; i < 4; i++) {
        fv_model_shape other = i < 3 ? others[i].shape : shape;
        char name[32], path[64];
        other.text.vocab = i == 2 ? 33 : 34;
        other.text.n_layers = i == 3 ? 1 : 2;
        snprintf(name, sizeof name, "other_%d", i);
        snprintf(path, sizeof path, "%s/config.json", name);
        assert_ok(tiny_write(name, &other, FV_FOLDER_V4, FV_FOLDER_SHARD_BYTES));
        copy();
        assert_ok(fv_file_copy(temp_path(path), temp_path("copy/config.json")));
        seal(temp_path("copy"), "config.json");
        assert_fails(open_and_check(temp_path("copy")), i == 2 ? FV_ERR_SHAPE : FV_ERR_FORMAT,
                     i < 3 ? others[i].sentence
                           : "has tensor \"weights/model.layers.1.input_layernorm.weight\", which is not of");
    }
}

static void test_layout_of_another_model(void **state)
{
    (void)state;
    fv_checkpoint *c;
    fv_layout layout;
    float number;
    const fv_model_shape other = tiny_shape(FV_FAMILY_QWEN2, 1);
    assert_ok(fv_checkpoint_open(saved, &c));
    assert_ok(fv_layout_init(&layout, &other, 0, 1));
    assert_fails(fv_checkpoint_read(c, FV_CHECKPOINT_WEIGHTS, &layout, 0, 1, &number), FV_ERR_SHAPE,
                 "is of another model");
    fv_layout_fini(&layout);
    assert_ok(fv_layout_init(&layout, &shape, 0, 1));
    assert_fails(fv_checkpoint_read(c, FV_CHECKPOINT_WEIGHTS, &layout, layout.n_elements, 1, &number),
                 FV_ERR_ARGUMENT, "elements");
    fv_layout_fini(&layout);
    fv_checkpoint_close(c);
}

/* Shards that do not fit together make no checkpoint. */
static void test_shards(void **state)
{
    (void)state;
    fv_layout layout;
    const void *const zeros[FV_CHECKPOINT_N_SETS] = {0};
    fv_checkpoint_args args = {.shape = &shape, .n_shards = 2, .source = temp_path("model")};
    const char *folder = temp_folder("parts");
    assert_ok(fv_layout_init(&layout, &shape, 0, 1));
    int64_t n = layout.n_elements;
    fv_shard shard = {.tensor_ranks = 1, .n = n / 2};
    assert_ok(fv_shard_write(folder, 0, &shard, zeros));
    assert_fails(fv_checkpoint_finish(folder, &args), FV_ERR_IO, "shard_00001.done");
    shard = (fv_shard){.tensor_ranks = 1, .first = n / 2 + 1, .n = n - n / 2 - 1};
    assert_ok(fv_shard_write(folder, 1, &shard, zeros));
    assert_fails(fv_checkpoint_finish(folder, &args), FV_ERR_FORMAT, "parts: shard 1 holds elements");
    shard = (fv_shard){.tensor_ranks = 1, .first = n / 2, .n = n - n / 2 - 1};
    assert_ok(fv_shard_write(folder, 1, &shard, zeros));
    assert_fails(fv_checkpoint_finish(folder, &args), FV_ERR_FORMAT, "one is missing");
    shard = (fv_shard){.tensor_ranks = 2, .first = n / 2, .n = n - n / 2};
    assert_ok(fv_shard_write(folder, 1, &shard, zeros));
    assert_fails(fv_checkpoint_finish(folder, &args), FV_ERR_FORMAT, "shard 1 is of 2 tensor ranks");
    assert_fails(fv_checkpoint_open(folder, &(fv_checkpoint *){0}), FV_ERR_IO, "checksums");
    shard = (fv_shard){.tensor_ranks = 1, .first = n / 2, .n = n - n / 2, .moments = FV_BF16};
    assert_ok(fv_shard_write(folder, 1, &shard, zeros));
    assert_fails(fv_checkpoint_finish(folder, &args), FV_ERR_FORMAT, "shard 1 has moments of BF16");
    shard.moments = FV_F32;
    assert_ok(fv_shard_write(folder, 1, &shard, zeros));
    assert_ok(fv_checkpoint_finish(folder, &args));
    assert_ok(open_and_check(folder));
    fv_layout_fini(&layout);
}

/* The small files come from the checkpoint before, unless they are damaged there. */
static void test_links(void **state)
{
    (void)state;
    struct stat a, b;
    checkpoint_save("linked", &shape, 1, 1, saved);
    assert_ok(open_and_check(temp_path("linked")));
    assert_int_equal(stat(temp_path("saved/config.json"), &a), 0);
    assert_int_equal(stat(temp_path("linked/config.json"), &b), 0);
    assert_int_equal(a.st_ino, b.st_ino);
    copy();
    put(temp_path("copy/config.json"), 20, '?');
    const void *const zeros[FV_CHECKPOINT_N_SETS] = {0};
    fv_layout layout;
    assert_ok(fv_layout_init(&layout, &shape, 0, 1));
    const fv_shard shard = {.tensor_ranks = 1, .n = layout.n_elements};
    const fv_checkpoint_args args = {.shape = &shape, .n_shards = 1, .source = temp_path("copy")};
    assert_ok(fv_shard_write(temp_folder("after"), 0, &shard, zeros));
    assert_fails(fv_checkpoint_finish(temp_path("after"), &args), FV_ERR_FORMAT,
                 "copy/config.json is damaged");
    fv_layout_fini(&layout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flips),  cmocka_unit_test(test_parts),
        cmocka_unit_test(test_files),  cmocka_unit_test(test_versions),
        cmocka_unit_test(test_models), cmocka_unit_test(test_layout_of_another_model),
        cmocka_unit_test(test_shards), cmocka_unit_test(test_links)};
    return cmocka_run_group_tests(tests, setup, temp_teardown);
}
