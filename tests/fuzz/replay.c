/*
 * replay.c -- a main() for fuzzers without a fuzzing engine.
 *
 * Runs every file of a corpus through LLVMFuzzerTestOneInput, then small ones once more cut at every length and with
 * every byte damaged in a few ways: little, but the same in each `make check` and with any compiler.  Without arguments
 * the corpus is $srcdir/tests/fuzz/corpus/<name of the program without "fuzz_">.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"

#define INPUT_MAX ((size_t)1 << 20)
#define DAMAGE_MAX 512 /* bytes of an input that is also damaged */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long runs;

/* In memory of its own exact size, so that a sanitizer sees each byte too far. */
static void
run_exactly(const char *bytes, size_t size)
{
	char *copy = ap_realloc_array(NULL, size, 1);

	if (size > 0)
		memcpy(copy, bytes, size);
	LLVMFuzzerTestOneInput((const uint8_t *)copy, size);
	ap_free(&copy);
	runs++;
}

static void
run_damaged(char *bytes, size_t size)
{
	static const char replacements[] = { 0, '\n', '"', '%', '(', (char)0x80, (char)0xc0, (char)0xff };

	for (size_t i = 0; i < size; i++) {
		char kept = bytes[i];

		run_exactly(bytes, i);
		run_exactly(bytes + i, size - i);
		for (size_t j = 0; j < sizeof(replacements); j++) {
			bytes[i] = replacements[j];
			run_exactly(bytes, size);
		}
		bytes[i] = (char)(kept ^ 1);
		run_exactly(bytes, size);
		bytes[i] = kept;
	}
}

static int
run_file(const char *path)
{
	struct ap_error err;
	struct ap_buf in;

	ap_buf_init(&in, INPUT_MAX);
	if (ap_file_read(path, &in, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		ap_buf_done(&in);
		return -1;
	}
	run_exactly(in.ptr, in.len);
	if (in.len <= DAMAGE_MAX)
		run_damaged(in.ptr, in.len);
	ap_buf_done(&in);
	return 0;
}

static int
not_hidden(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static int
run_folder(const char *path)
{
	struct dirent **names;
	int count = scandir(path, &names, not_hidden, alphasort), r = 0;

	if (count < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	for (int i = 0; i < count; i++) {
		char *file = ap_asprintf("%s/%s", path, names[i]->d_name);

		if (run_file(file) < 0)
			r = -1;
		ap_free(&file);
		free(names[i]);
	}
	free(names);
	if (count == 0) {
		fprintf(stderr, "%s is empty\n", path);
		return -1;
	}
	return r;
}

static int
run_path(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? run_folder(path) : run_file(path);
}

static int
run_own_corpus(const char *program)
{
	const char *slash = strrchr(program, '/'), *top = getenv("srcdir");
	const char *name = strstr(slash == NULL ? program : slash, "fuzz_");
	char *path;
	int r;

	if (name == NULL) {
		fprintf(stderr, "give files or folders\n");
		return -1;
	}
	path = ap_asprintf("%s/tests/fuzz/corpus/%s", top == NULL ? "." : top, name + strlen("fuzz_"));
	r = run_folder(path);
	ap_free(&path);
	return r;
}

int
main(int argc, char **argv)
{
	int failed = 0;

	if (argc < 2)
		failed = run_own_corpus(argv[0]) < 0;
	for (int i = 1; i < argc; i++)
		failed |= run_path(argv[i]) < 0;
	printf("%lu inputs\n", runs);
	return failed;
}
