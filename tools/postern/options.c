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
