# Sourced by jobs/quickstart.sh, tests/run.sh and tests/bench/run.sh: what the project needs from the system, and
# its installation.
# Nothing is asked. Where everything is there already, apt is not called.

say() {
    printf '\n== %s\n' "$*"
}

# Package of Debian | how its presence is seen | module names on systems without apt.
needs_of_build() {
    cat <<'END'
gcc|command gcc|gcc
libc6-dev|header stdlib.h|glibc headers
cmake|command cmake|cmake (3.25 or newer)
ninja-build|command ninja|ninja
pkg-config|command pkg-config|pkg-config
openmpi-bin|command mpiexec|openmpi
libopenmpi-dev|command mpicc|openmpi
libhdf5-dev|command h5cc|hdf5
libjansson-dev|module jansson|jansson
libyaml-dev|module yaml-0.1|libyaml
libcurl4-openssl-dev|module libcurl|curl
libjpeg-dev|module libjpeg|libjpeg-turbo
libpng-dev|module libpng|libpng
libwebp-dev|module libwebp|libwebp
libgif-dev|header gif_lib.h|giflib
libtiff-dev|module libtiff-4|libtiff (4.5 or newer)
libutf8proc-dev|module libutf8proc|utf8proc
libxxhash-dev|module libxxhash|xxhash
libcmocka-dev|module cmocka|cmocka
libssl-dev|module openssl|openssl
END
}

needs_of_tests() {
    needs_of_build
    cat <<'END'
hdf5-tools|command h5dump|hdf5
openssl|command openssl|openssl
python3|command python3|python
python3-venv|venv|python
slurmctld|command slurmctld|slurm
slurmd|command slurmd|slurm
slurm-client|command sbatch|slurm
munge|command munged|munge
iproute2|command ip|iproute2
libpango1.0-dev|module pangocairo|pango and cairo
clang|command clang|llvm
clang-format|command clang-format|llvm
libclang-rt-dev|fuzzer|llvm with compiler-rt
END
}

# The peers use the same OpenMP threads as fovea; with threads of their own they would disturb each other.
needs_of_benchmarks() {
    needs_of_build
    cat <<'END'
libopenblas0-openmp|library libopenblas.so.0|openblas
libblis4-openmp|library libblis.so.4|blis
python3-venv|venv|python 3
END
}

is_there() {
    case $1 in
    command) PATH=$PATH:/usr/sbin:/sbin command -v "$2" ;;
    header) echo "#include <$2>" | gcc -E - ;;
    library) gcc -shared -o /dev/null -l:"$2" ;;
    module) pkg-config --exists "$2" ;;
    venv) python3 -c 'import ensurepip, venv' ;;
    fuzzer) echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' |
        clang -fsanitize=fuzzer -x c - -o /dev/null ;;
    esac >/dev/null 2>&1
}

# The lines of standard input whose need is not met.
missing() {
    while IFS='|' read -r package probe module; do
        is_there $probe || echo "$package|$probe|$module"
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    else
        sudo -n env DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

install_with_apt() {
    local apt=(apt-get -q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3)
    as_root true 2>/dev/null || {
        say "packages are missing, and neither root nor sudo without a password is at hand; run as root:"
        echo "   apt-get install --no-install-recommends $*"
        return 1
    }
    say "installing: $*"
    as_root "${apt[@]}" update || echo "the package lists could not be renewed; trying with those that are here"
    as_root "${apt[@]}" install --no-install-recommends "$@"
}

# setup build|tests|benchmarks: install what is missing, or say what is wanted; make the folder build. Fails if
# the build cannot go on.
setup() {
    local lines
    mkdir -p build 2>/dev/null && [ -w build ] || {
        echo "cannot write to $PWD/build: work in a copy of this folder where you may write" >&2
        return 1
    }
    lines=$("needs_of_$1" | missing)
    [ -n "$lines" ] || return 0
    if command -v apt-get >/dev/null; then
        install_with_apt $(cut -d'|' -f1 <<<"$lines") || true
    else
        say "not found here; load these modules or install these packages (Debian's names on the right):"
        awk -F'|' '{ printf "  %-28s %s\n", $3, $1 }' <<<"$lines"
    fi
    [ -z "$(needs_of_build | missing)" ]
}

# Whether a GPU is here. The build finds nvcc itself, in PATH or not (CMakeLists.txt).
has_gpu() {
    [ -e /dev/nvidiactl ] || nvidia-smi -L >/dev/null 2>&1
}

# Python with pyarrow in build/python, for the test of what reads Parquet files: Debian has no such package. Without a
# network that test is skipped.
setup_python() {
    local python=build/python/bin/python
    "$python" -c 'import pyarrow' 2>/dev/null && return
    say "installing pyarrow from PyPI into build/python"
    { python3 -m venv build/python &&
        "$python" -m pip install --quiet --disable-pip-version-check --timeout 20 --retries 1 pyarrow; } ||
        echo "pyarrow cannot be had: the test of Parquet files is skipped"
}
