#include "tiny_folder.h"

#include "fovea/model/tokenizer/tokenizer.h"

/* How the copy of a folder differs from the original. */
typedef struct change {
    const char *drop;   /* a tensor to leave out */
    const char *rename; /* a tensor to be called `to` */
    const char *to;
    const char *reshape; /* a tensor to lose its last row */
    const char *restore; /* a tensor to be stored as whole numbers */
    const char *add;     /* the name of a tensor of 4 bytes to add */
} change;

static int is(const char *name, const char *wanted)
{
    return wanted && strcmp(name, wanted) == 0;
}

/* Write the tensors of root/from, changed, as root/to. */
static void write_changed(const char *from, const char *to, const change *how)
{
    fv_safetensors file;
    fv_safetensors_writer writer;
    static fv_safetensor items[256];
    size_t n = 0;
    assert_ok(fv_safetensors_open(temp_path(from), &file));
    for (size_t i = 0; i < file.n; i++) {
        if (is(file.items[i].name, how->drop))
            continue;
        fv_safetensor *item = &items[n++];
        *item = file.items[i];
        if (is(item->name, how->reshape))
            item->bytes -= item->bytes / (size_t)item->dim[0]--;
        if (is(item->name, how->restore))
            item->dtype = FV_I32;
        if (is(item->name, how->rename))
            item->name = how->to;
    }
    if (how->add)
        items[n++] = (fv_safetensor){.name = how->add,
                                     .dtype = FV_F32,
                                     .n_dims = 1,
                                     .dim = {1},
                                     .data = file.items[0].data,
                                     .bytes = 4};
    assert_ok(fv_safetensors_create(temp_path(to), items, n, &writer));
    for (size_t i = 0; i < n; i++)
        assert_ok(fv_safetensors_append(&writer, items[i].data, items[i].bytes));
    assert_ok(fv_safetensors_commit(&writer));
    fv_safetensors_close(&file);
}

static fv_err open_folder(const char *name)
{
    fv_folder folder;
    fv_err err = fv_folder_open(temp_path(name), &folder);
    if (err == FV_OK)
        fv_folder_close(&folder);
    return err;
}

static fv_err open_changed(const change *how)
{
    write_changed("good/model.safetensors", "bad/model.safetensors", how);
    return open_folder("bad");
}

static void test_tensors_that_do_not_fit(void **state)
{
    (void)state;
    static const struct {
        change how;
        fv_err code;
        const char *part;
    } cases[] = {
        {{.drop = "model.norm.weight"},
         FV_ERR_FORMAT,
         "1 of 27 tensors that config.json asks for are missing, such as model.norm.weight"},
        {{.drop = "model.embed_tokens.weight"}, FV_ERR_FORMAT, "such as model.embed_tokens.weight"},
        {{.rename = "model.norm.weight", .to = "model.norm.weigth"}, FV_ERR_FORMAT, "missing"},
        {{.rename = "model.embed_tokens.weight", .to = "model.language_model.embed_tokens.weight"},
         FV_ERR_FORMAT,
         "25 of 27 tensors"},
        {{.reshape = "model.layers.1.mlp.up_proj.weight"},
         FV_ERR_SHAPE,
         "\"model.layers.1.mlp.up_proj.weight\" has shape [19, 16], expected [20, 16]"},
        {{.restore = "lm_head.weight"}, FV_ERR_UNSUPPORTED, "\"lm_head.weight\" has dtype I32, expected F32"},
        {{.add = "extra"}, FV_ERR_FORMAT, "\"extra\" is not of this model"},
        {{.add = "model.layers.2.mlp.up_proj.weight"}, FV_ERR_FORMAT, "is not of this model"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_fails(open_changed(&cases[i].how), cases[i].code, cases[i].part);
        assert_non_null(strstr(fv_error_text(), "/bad"));
    }
    assert_ok(open_changed(&(change){.add = "model.layers.0.self_attn.rotary_emb.inv_freq"}));
}

static void test_a_tied_model_may_repeat_its_head(void **state)
{
    (void)state;
    fv_model_shape tied = tiny_shape(FV_FAMILY_QWEN2, 1);
    assert_ok(tiny_write("tied", &tied, FV_FOLDER_V4, FV_FOLDER_SHARD_BYTES));
    write_changed("tied/model.safetensors", "small.safetensors", &(change){.add = "lm_head.weight"});
    temp_folder("headed");
    fv_file_map map;
    assert_ok(fv_file_open_map(temp_path("tied/config.json"), &map));
    assert_ok(fv_file_write(temp_path("headed/config.json"), map.data, map.size));
    fv_file_close_map(&map);
    assert_ok(fv_file_open_map(temp_path("small.safetensors"), &map));
    assert_ok(fv_file_write(temp_path("headed/model.safetensors"), map.data, map.size));
    fv_file_close_map(&map);
    assert_fails(open_folder("headed"), FV_ERR_FORMAT, "\"lm_head.weight\" differs");

    /* The untied folder's file has both; with equal numbers it may be read as a tied model's. */
    fv_safetensors file;
    assert_ok(fv_safetensors_open(temp_path("good/model.safetensors"), &file));
    size_t bytes = fv_safetensors_find(&file, "lm_head.weight")->bytes;
    int64_t head = fv_safetensors_find(&file, "lm_head.weight")->data - file.map.data;
    int64_t embedding = fv_safetensors_find(&file, "model.embed_tokens.weight")->data - file.map.data;
    uint8_t *copy = malloc(file.map.size);
    assert_non_null(copy);
    memcpy(copy, file.map.data, file.map.size);
    memcpy(copy + head, copy + embedding, bytes);
    assert_ok(fv_file_write(temp_path("headed/model.safetensors"), copy, file.map.size));
    free(copy);
    fv_safetensors_close(&file);
    assert_ok(open_folder("headed"));
}

static void write_index(const char *text)
{
    temp_write("indexed/model.safetensors.index.json", text);
}

static void test_indexes_that_lie(void **state)
{
    (void)state;
    fv_model_shape shape = tiny_shape(FV_FAMILY_QWEN2, 0);
    assert_ok(tiny_write("indexed", &shape, FV_FOLDER_V4, 5000));
    assert_ok(open_folder("indexed"));
    write_index("{\"weight_map\": []}");
    assert_fails(open_folder("indexed"), FV_ERR_FORMAT, "\"weight_map\" is missing or not an object");
    write_index("{}");
    assert_fails(open_folder("indexed"), FV_ERR_FORMAT, "\"weight_map\" is missing");
    write_index("{\"weight_map\": {\"a\": 1}}");
    assert_fails(open_folder("indexed"), FV_ERR_FORMAT, "\"a\" is an integer");
    write_index("{\"weight_map\": {\"a\": \"../good/model.safetensors\"}}");
    assert_fails(open_folder("indexed"), FV_ERR_FORMAT, "expected the name of a file of this folder");
    write_index("{\"weight_map\": {\"a\": \"/etc/passwd\"}}");
    assert_fails(open_folder("indexed"), FV_ERR_FORMAT, "expected the name of a file of this folder");
    write_index("{\"weight_map\": {\"a\": \"none.safetensors\"}}");
    assert_fails(open_folder("indexed"), FV_ERR_IO, "indexed/none.safetensors");
    write_index("{\"weight_map\": {\"a\": \"config.json\"}}");
    assert_fails(open_folder("indexed"), FV_ERR_FORMAT, "not a safetensors file");
    write_index("{\"weight_map\": {}}");
    assert_fails(open_folder("indexed"), FV_ERR_FORMAT, "27 of 27 tensors");
    assert_int_equal(unlink(temp_path("indexed/model.safetensors.index.json")), 0);
    assert_fails(open_folder("indexed"), FV_ERR_IO, "neither model.safetensors nor");
}

/* A clone without Git LFS: each large file is three lines of text. */
static void test_pointers_of_git_lfs(void **state)
{
    (void)state;
    static const char *const names[] = {"model.safetensors", "config.json", "tokenizer.json"};
    fv_tokenizer *tokenizer;
    fv_model_shape shape = tiny_shape(FV_FAMILY_QWEN2, 0);
    assert_ok(tiny_write("cloned", &shape, FV_FOLDER_V4, FV_FOLDER_SHARD_BYTES));
    for (int i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof path, "cloned/%s", names[i]);
        temp_write(
            path,
            "version https://git-lfs.github.com/spec/v1\n"
            "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n");
        fv_err err = i < 2 ? open_folder("cloned") : fv_tokenizer_load(temp_path("cloned"), &tokenizer);
        assert_fails(err, FV_ERR_FORMAT, "is a Git-LFS pointer");
        assert_non_null(strstr(fv_error_text(), names[i]));
    }
}

static int setup(void **state)
{
    if (temp_setup(state) != 0)
        return -1;
    fv_model_shape shape = tiny_shape(FV_FAMILY_QWEN2, 0);
    fv_file_map map;
    if (tiny_write("good", &shape, FV_FOLDER_V4, FV_FOLDER_SHARD_BYTES) != FV_OK)
        return -1;
    temp_folder("bad");
    assert_ok(fv_file_open_map(temp_path("good/config.json"), &map));
    assert_ok(fv_file_write(temp_path("bad/config.json"), map.data, map.size));
    fv_file_close_map(&map);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensors_that_do_not_fit),
        cmocka_unit_test(test_a_tied_model_may_repeat_its_head),
        cmocka_unit_test(test_indexes_that_lie),
        cmocka_unit_test(test_pointers_of_git_lfs),
    };
    return cmocka_run_group_tests(tests, setup, temp_teardown);
}
