/* What the verbs of `postern` share: options, files, the resolver, and how mistakes are told. */
#ifndef POSTERN_TOOLS_OPTIONS_H
#define POSTERN_TOOLS_OPTIONS_H

#include <postern.h>
#include <stddef.h>
#include <stdint.h>

/* Exit statuses of a verb that checks something. */
enum {
  EXIT_FINE = 0,
  EXIT_NOT_FINE = 1,
  EXIT_USAGE = 2,
  EXIT_LATER = 75 /* nobody answered: ask again later (sysexits(3)'s EX_TEMPFAIL) */
};

/* One option: "--ip ADDRESS" (or "--ip=ADDRESS") sets `*text`, a flag "--json" sets `*flag` to 1.
 */
struct option {
  const char* name;     /* with its dashes */
  const char* argument; /* what the help calls its value; NULL: it is a flag */
  const char* help;     /* one line; NULL: not in the help */
  const char** text;
  int* flag;
};

/* One verb. `options` ends with a row without name. */
struct verb {
  const char* name;     /* "dkim verify" */
  const char* operands; /* as the help shows them, "[FILE]"; "" for none */
  const char* summary;  /* what it does, a sentence or some */
  const struct option* options;
  int max_operands;
};

/* read_options reads argv[0..argc) (behind the verb) and sets what the options point to; operands
 * go to `operands` in their order (max_operands of them; the rest stays NULL). It returns 0 when
 * the verb may go on; else `*exit_status` is how to end: after --help, or after a sentence about
 * what is wrong.
 */
int read_options(const struct verb* verb, int argc, char** argv, const char** operands,
                 int* exit_status);

/* show_usage prints the help of `verb`. */
void show_usage(const struct verb* verb, int to_stderr);

/* read_file reads all of `path`, or standard input when it is NULL or "-". It returns 0 and a block
 * for free(), with a NUL behind the octets; or says what is wrong and returns EXIT_USAGE. */
int read_file(const char* path, char** data, size_t* len);

/* open_resolver makes the resolver for --zone (NULL: the network; `servers` as in
 * postern_resolver_options.forwarders, or NULL). It returns 0, or says what is wrong, with file and
 * line, and returns EXIT_USAGE. */
int open_resolver(const char* zone_path, const char* servers, postern_resolver** resolver);

/* read_number reads the value of a numeric option: digits alone, from `least` to `most`. NULL
 * leaves
 * `*number` as it is. It returns 0, or says what would be right and returns EXIT_USAGE. */
int read_number(const char* verb, const char* option, const char* text, uint64_t least,
                uint64_t most, uint64_t* number);

/* read_duration reads a length of time in seconds: "90", "90s", "5m", "12h", "7d" or "2w", at least
 * a second; otherwise as read_number. */
int read_duration(const char* verb, const char* option, const char* text, uint32_t* seconds);

/* read_moment reads a time in seconds since 1970, up to the end of the year 9999; otherwise as
 * read_number. */
int read_moment(const char* verb, const char* option, const char* text, int64_t* unix_s);

/* complain prints "postern: what: the error's message", frees `error`, and returns EXIT_USAGE. */
int complain_about(const char* what, postern_status status, postern_error* error);

#endif /* POSTERN_TOOLS_OPTIONS_H */
