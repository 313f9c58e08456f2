#!/usr/bin/env bash
# fovea tokenize: ids, JSON, plain text, decoding, and wrong use.
set -eu
model=$TEST_DATA_BINARY/tokenizer
tokenize() { "$FOVEA" tokenize --model "$model" "$@"; }
equal() { [ "$1" = "$2" ] || { echo "got: $1"; echo "expected: $2"; exit 1; }; }

equal "$(printf 'hello <|im_end|>' | tokenize --stdin)" "14990 220 151645"
equal "$(printf 'hello <|im_end|>' | tokenize --stdin --plain)" "14990 82639 318 6213 91 29"
equal "$(printf 'hello <|im_end|>' | tokenize --stdin --json)" \
    '{"ids": [14990, 220, 151645], "tokens": ["hello", "Ġ", "<|im_end|>"]}'
equal "$(printf '' | tokenize --stdin --json)" '{"ids": [], "tokens": []}'
equal "$(printf 'a\xffb' | tokenize --stdin)" "$(printf 'a\xef\xbf\xbdb' | tokenize --stdin)"
equal "$(echo '14990 220, 151645' | tokenize --decode)" "hello <|im_end|>"
equal "$(echo '14990 151645' | tokenize --decode --skip-special)" "hello"

refused() { # STATUS PART-OF-THE-SENTENCE ARGUMENT...
    local status=$1 part=$2 rc=0 said
    shift 2
    said=$("$FOVEA" tokenize "$@" 2>&1 >/dev/null) || rc=$?
    [ "$rc" = "$status" ] && [[ $said == *"$part"* ]] || { echo "$*: status $rc, said: $said"; exit 1; }
}
refused 2 "--stdin is missing" --model "$model"
refused 2 "--model DIR is missing" --stdin
refused 2 "unrecognized option" --model "$model" --stdin --frobnicate
refused 2 "unexpected argument" --model "$model" --stdin text
refused 1 "/nowhere/tokenizer.json" --model /nowhere --stdin </dev/null
refused 1 '"151665" is not a token id, expected a number from 0 to 151664' --model "$model" --decode <<<"1 151665"
refused 1 '"x1" is not a token id' --model "$model" --decode <<<"x1"
"$FOVEA" tokenize --help | grep -q -- --skip-special
