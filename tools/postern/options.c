#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void show_usage(const struct verb* verb, int to_stderr) {
  FILE* to = to_stderr ? stderr : stdout;
  const struct option* row;
  fprintf(to, "usage: postern %s [options]%s%s\n", verb->name, *verb->operands ? " " : "",
          verb->operands);
  if (to_stderr) {
    fprintf(to, "       postern %s --help says more\n", verb->name);
    return;
  }
  fprintf(to, "%s\n\n", verb->summary);
  for (row = verb->options; row->name != NULL; ++row) {
    char left[40];
    if (row->help == NULL) continue;
    snprintf(left, sizeof left, "%s%s%s", row->name, row->argument ? " " : "",
             row->argument ? row->argument : "");
    fprintf(to, "  %-22s %s\n", left, row->help);
  }
}

static int misused(const struct verb* verb, const char* what, const char* why, int* exit_status) {
  fprintf(stderr, "postern %s: %s %s\n", verb->name, what, why);
  show_usage(verb, 1);
  *exit_status = EXIT_USAGE;
  return 1;
}

static const struct option* find_option(const struct verb* verb, const char* name, size_t len) {
  const struct option* row;
  for (row = verb->options; row->name != NULL; ++row)
    if (strlen(row->name) == len && strncmp(row->name, name, len) == 0) return row;
  return NULL;
}

int read_options(const struct verb* verb, int argc, char** argv, const char** operands,
                 int* exit_status) {
  int i, only_operands = 0, operand_count = 0;
  for (i = 0; i < verb->max_operands; ++i) operands[i] = NULL;
  for (i = 0; i < argc; ++i) {
    const char* word = argv[i];
    const char* equals = strchr(word, '=');
    const struct option* row;
    if (only_operands || word[0] != '-' || word[1] == '\0') {
      if (operand_count == verb->max_operands)
        return misused(verb, word, "is one word too many", exit_status);
      operands[operand_count++] = word;
      continue;
    }
    if (strcmp(word, "--") == 0) {
      only_operands = 1;
      continue;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
      show_usage(verb, 0);
      *exit_status = EXIT_FINE;
      return 1;
    }
    row = find_option(verb, word, equals ? (size_t)(equals - word) : strlen(word));
    if (row == NULL) return misused(verb, word, "is no option", exit_status);
    if (row->argument == NULL) {
      if (equals != NULL) return misused(verb, word, "takes no value", exit_status);
      *row->flag = 1;
    } else if (equals != NULL) {
      *row->text = equals + 1;
    } else if (i + 1 < argc) {
      *row->text = argv[++i];
    } else {
      return misused(verb, word, "needs a value", exit_status);
    }
  }
  return 0;
}

static int cannot_read(const char* name) {
  fprintf(stderr, "postern: %s: %s\n", name, strerror(errno));
  return EXIT_USAGE;
}

int read_file(const char* path, char** data, size_t* len) {
  const int from_stdin = path == NULL || strcmp(path, "-") == 0;
  FILE* file = from_stdin ? stdin : fopen(path, "rb");
  size_t room = 65536;
  const char* name = from_stdin ? "standard input" : path;
  *data = NULL;
  *len = 0;
  if (file == NULL) return cannot_read(name);
  *data = malloc(room);
  while (*data != NULL) {
    size_t got = fread(*data + *len, 1, room - *len - 1, file);
    *len += got;
    if (got == 0) break;
    if (room - *len < 2) {
      char* larger = realloc(*data, room * 2);
      if (larger == NULL) free(*data);
      *data = larger;
      room *= 2;
    }
  }
  if (*data == NULL || ferror(file)) {
    int status = cannot_read(name);
    free(*data);
    *data = NULL;
    if (!from_stdin) fclose(file);
    return status;
  }
  (*data)[*len] = '\0';
  if (!from_stdin) fclose(file);
  return 0;
}

/* digits reads the digits that `text` begins with and gives what is behind them; NULL when there
 * are none, or when they say more than `most`. strtoull would take signs and blanks too. */
static const char* digits(const char* text, uint64_t most, uint64_t* number) {
  const char* at = text;
  *number = 0;
  for (; *at >= '0' && *at <= '9'; ++at) {
    const uint64_t digit = (uint64_t)(*at - '0');
    if (*number > (most - digit) / 10) return NULL;
    *number = *number * 10 + digit;
  }
  return at == text ? NULL : at;
}

int read_number(const char* verb, const char* option, const char* text, uint64_t least,
                uint64_t most, uint64_t* number) {
  uint64_t value;
  const char* end;
  if (text == NULL) return 0;
  end = digits(text, most, &value);
  if (end == NULL || *end != '\0' || value < least) {
    fprintf(stderr, "postern %s: %s %s: a number from %llu to %llu is wanted\n", verb, option, text,
            (unsigned long long)least, (unsigned long long)most);
    return EXIT_USAGE;
  }
  *number = value;
  return 0;
}

int read_duration(const char* verb, const char* option, const char* text, uint32_t* seconds) {
  static const struct {
    char letter;
    uint32_t seconds;
  } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
  uint64_t value;
  uint32_t unit = 0;
  const char* end;
  size_t i;
  if (text == NULL) return 0;
  end = digits(text, UINT32_MAX, &value);
  if (end != NULL && *end == '\0') unit = 1;
  for (i = 0; end != NULL && i < sizeof units / sizeof *units; ++i)
    if (end[0] == units[i].letter && end[1] == '\0') unit = units[i].seconds;
  if (unit == 0 || value == 0 || value > UINT32_MAX / unit) {
    fprintf(
        stderr,
        "postern %s: %s %s: a length of time is wanted, in seconds or as in 90s, 5m, 12h, 7d or "
        "2w, up to %lu seconds\n",
        verb, option, text, (unsigned long)UINT32_MAX);
    return EXIT_USAGE;
  }
  *seconds = (uint32_t)value * unit;
  return 0;
}

int read_moment(const char* verb, const char* option, const char* text, int64_t* unix_s) {
  uint64_t value;
  const char* end;
  if (text == NULL) return 0;
  end = digits(text, 253402300799, &value); /* the last second of the year 9999 */
  if (end == NULL || *end != '\0' || value == 0) {
    fprintf(stderr,
            "postern %s: %s %s: seconds since 1970 are wanted, as `date +%%s -d 2026-03-02` prints "
            "them\n",
            verb, option, text);
    return EXIT_USAGE;
  }
  *unix_s = (int64_t)value;
  return 0;
}

int complain_about(const char* what, postern_status status, postern_error* error) {
  const char* message = postern_error_message(error);
  if (*message == '\0') message = postern_status_name(status);
  fprintf(stderr, "postern: %s: %s\n", what, message);
  postern_error_free(error);
  return EXIT_USAGE;
}

int open_resolver(const char* zone_path, const char* servers, postern_resolver** resolver) {
  postern_error* error = NULL;
  postern_status status;
  *resolver = NULL;
  if (zone_path != NULL) {
    char* text;
    size_t len;
    int unread = read_file(zone_path, &text, &len);
    if (unread) return unread;
    status = postern_resolver_new_zone(resolver, text, len, &error);
    free(text);
    return status == POSTERN_OK ? 0 : complain_about(zone_path, status, error);
  } else {
    postern_resolver_options options = POSTERN_RESOLVER_OPTIONS_INIT;
    options.forwarders = servers;
    status = postern_resolver_new_system(resolver, &options, &error);
    return status == POSTERN_OK ? 0 : complain_about("the resolver", status, error);
  }
}
