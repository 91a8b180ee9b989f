/* Messages and addresses through the C API: what is there, what is not, and structs of other sizes.
 */
#include <postern.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

static void expect(int condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "not so: %s\n", what);
  ++failures;
}

static int is(postern_str text, const char* wanted) {
  return text.len == strlen(wanted) && (text.len == 0 || memcmp(text.data, wanted, text.len) == 0);
}

static const char kMail[] =
    "From: =?utf-8?Q?J=C3=BCrgen?= <j@example.org>\r\n"
    "To: Team: a@example.com, b@example.com;\r\n"
    "Subject: =?utf-8?B?R3LDvMOfZQ==?=\r\n"
    "Date: Tue, 1 Jul 2003 10:52:37 +0200\r\n"
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    "--b\r\nContent-Type: text/html; charset=iso-8859-1\r\n"
    "Content-Transfer-Encoding: quoted-printable\r\n\r\n<p>Gr=FC=DFe</p>\r\n"
    "--b\r\nContent-Type: application/pdf\r\n"
    "Content-Disposition: attachment; filename*=utf-8''Gr%C3%BC%C3%9Fe.pdf\r\n"
    "Content-Transfer-Encoding: base64\r\n\r\nUERG\r\n";

static void test_parsed(void) {
  postern_parsed* parsed = NULL;
  postern_error* error = NULL;
  postern_address_list* list = NULL;
  postern_body_reader* reader = NULL;
  postern_part part;
  postern_header header;
  postern_defect defect;
  postern_address address;
  postern_buf out = {NULL, 0};
  postern_str piece;
  int64_t unix_s = 0;
  int32_t offset = 0;
  struct {
    postern_parse_options known;
    int of_the_future;
  } newer;

  memset(&newer, 0, sizeof newer);
  newer.known.struct_size = sizeof newer;
  newer.of_the_future = 1;
  expect(postern_parsed_new(&parsed, kMail, strlen(kMail), &newer.known, &error) ==
             POSTERN_ERR_VERSION,
         "an option of the future is told");
  postern_error_free(error);
  expect(postern_parsed_new(NULL, kMail, 1, NULL, NULL) == POSTERN_ERR_INVALID_ARGUMENT,
         "out is needed");
  expect(postern_parsed_new(&parsed, NULL, 0, NULL, NULL) == POSTERN_OK,
         "nothing is a message too");
  expect(postern_parsed_part_count(parsed) == 1, "it has one part");
  postern_parsed_free(parsed);

  expect(postern_parsed_new(&parsed, kMail, strlen(kMail), NULL, NULL) == POSTERN_OK, "parsed");
  expect(postern_parsed_part_count(parsed) == 3, "three parts");
  expect(is(postern_parsed_find(parsed, 0, "SUBJECT"),
            "Gr\xC3\xBC\xC3\x9F"
            "e"),
         "the subject");
  expect(postern_parsed_find(parsed, 0, "none").len == 0, "no such field");
  expect(postern_parsed_find(parsed, 9, "Subject").len == 0, "no such part");
  expect(postern_parsed_date(&unix_s, &offset, parsed) == POSTERN_OK && unix_s == 1057049557 &&
             offset == 120,
         "the date");

  memset(&part, 0, sizeof part);
  expect(postern_parsed_part(&part, parsed, 2) == POSTERN_ERR_INVALID_ARGUMENT,
         "a struct without its size");
  part.struct_size = sizeof part;
  expect(postern_parsed_part(&part, parsed, 3) == POSTERN_ERR_NOT_FOUND, "there is no part 3");
  expect(postern_parsed_part(&part, parsed, 2) == POSTERN_OK && part.parent == 0 &&
             part.kind == POSTERN_PART_LEAF && part.encoding == POSTERN_ENCODING_BASE64 &&
             is(part.type, "application") && is(part.subtype, "pdf") &&
             is(part.disposition, "attachment") &&
             is(part.file_name,
                "Gr\xC3\xBC\xC3\x9F"
                "e.pdf"),
         "part 2");
  /* A caller of an older header gets what it knows. */
  memset(&part, 0x55, sizeof part);
  part.struct_size = offsetof(postern_part, depth);
  expect(postern_parsed_part(&part, parsed, 2) == POSTERN_OK && part.parent == 0 &&
             part.depth == (size_t)0x5555555555555555ull,
         "an older struct is not written past its end");

  memset(&header, 0, sizeof header);
  header.struct_size = sizeof header;
  expect(postern_parsed_header_count(parsed, 0) == 5, "five fields");
  expect(postern_parsed_header(&header, parsed, 0, 2) == POSTERN_OK && is(header.name, "Subject") &&
             is(header.value, " =?utf-8?B?R3LDvMOfZQ==?="),
         "a field as written");
  expect(postern_parsed_header(&header, parsed, 0, 5) == POSTERN_ERR_NOT_FOUND, "no sixth");

  expect(postern_parsed_addresses(&list, parsed, 0, "To", NULL) == POSTERN_OK &&
             postern_address_list_count(list) == 4,
         "a group of two");
  memset(&address, 0, sizeof address);
  address.struct_size = sizeof address;
  expect(postern_address_list_get(&address, list, 0) == POSTERN_OK &&
             address.kind == POSTERN_ADDRESS_GROUP_BEGIN && is(address.name, "Team"),
         "its name");
  expect(postern_address_list_get(&address, list, 2) == POSTERN_OK &&
             is(address.address, "b@example.com") && is(address.domain, "example.com"),
         "its second member");
  expect(postern_address_list_get(&address, list, 4) == POSTERN_ERR_NOT_FOUND, "no fifth");
  postern_address_list_free(list);

  expect(postern_parsed_body(&out, parsed, 1, POSTERN_BODY_PLAIN, NULL) == POSTERN_OK &&
             strcmp(out.data,
                    "Gr\xC3\xBC\xC3\x9F"
                    "e") == 0,
         "HTML of another charset as plain text");
  postern_buf_free(&out);
  expect(out.data == NULL && out.len == 0, "freed");
  expect(postern_parsed_body(&out, parsed, 1, 99, &error) == POSTERN_ERR_INVALID_ARGUMENT,
         "no such form");
  postern_error_free(error);
  expect(postern_parsed_preview(&out, parsed, 4, NULL) == POSTERN_OK && out.len == 4, "a preview");
  postern_buf_free(&out);
  expect(postern_parsed_json(&out, parsed, 1, NULL) == POSTERN_OK &&
             strstr(out.data, "\"missing_close_delimiter\"") != NULL,
         "JSON");
  postern_buf_free(&out);

  memset(&defect, 0, sizeof defect);
  defect.struct_size = sizeof defect;
  expect(postern_parsed_defect_count(parsed) == 1 &&
             postern_parsed_defect(&defect, parsed, 0) == POSTERN_OK &&
             is(defect.name, "missing_close_delimiter"),
         "its defect");

  expect(postern_body_reader_new(&reader, parsed, 2, NULL) == POSTERN_OK, "a reader");
  postern_parsed_free(parsed); /* the reader goes on */
  expect(postern_body_reader_next(reader, &piece, NULL) == POSTERN_OK && is(piece, "PDF"),
         "its octets");
  expect(postern_body_reader_next(reader, &piece, NULL) == POSTERN_DONE, "its end");
  postern_body_reader_free(reader);
}

static postern_status failing_read(char* to, size_t size, size_t* got, void* user_data) {
  (void)to, (void)size, (void)got, (void)user_data;
  return POSTERN_ERR_IO;
}
static int destroyed = 0;
static void count_destroy(void* user_data) {
  (void)user_data;
  ++destroyed;
}

static void test_letter(void) {
  postern_letter* letter = NULL;
  postern_error* error = NULL;
  postern_buf out = {NULL, 0};
  postern_attachment attachment = POSTERN_ATTACHMENT_INIT;
  expect(postern_letter_new(&letter, NULL) == POSTERN_OK, "a letter");
  expect(postern_letter_address(letter, "From", "A", "no address", &error) ==
             POSTERN_ERR_INVALID_ARGUMENT,
         "what is no address is refused");
  postern_error_free(error);
  expect(postern_letter_header(letter, "Sub:ject", "x", NULL) == POSTERN_ERR_INVALID_ARGUMENT,
         "what is no field name is refused");
  expect(postern_letter_address(letter, "From", "A", "a@example.org", NULL) == POSTERN_OK &&
             postern_letter_header(letter, "Subject", "x\r\nBcc: evil@example.org", NULL) ==
                 POSTERN_OK &&
             postern_letter_header(letter, "Date", "Tue, 1 Jul 2003 10:52:37 +0200", NULL) ==
                 POSTERN_OK &&
             postern_letter_text(letter, "hello\r\n", 7, NULL) == POSTERN_OK,
         "fields and text");
  expect(postern_letter_build(&out, letter, NULL) == POSTERN_OK &&
             strstr(out.data, "\r\nBcc:") == NULL &&
             strstr(out.data, "\r\n\r\nhello\r\n") != NULL &&
             strstr(out.data, "@example.org>\r\n") != NULL,
         "built, and nothing broke out of its field");
  postern_buf_free(&out);
  attachment.read = failing_read;
  attachment.destroy_user_data = count_destroy;
  expect(postern_letter_attach(letter, &attachment, NULL) == POSTERN_OK, "attached");
  expect(postern_letter_build(&out, letter, &error) == POSTERN_ERR_CALLBACK &&
             postern_error_callback_status(error) == POSTERN_ERR_IO,
         "a read that fails is told");
  postern_error_free(error);
  expect(postern_letter_build(&out, letter, &error) == POSTERN_ERR_BUSY &&
             strstr(postern_error_message(error), "once") != NULL,
         "what was read is not read again");
  postern_error_free(error);
  postern_letter_free(letter);
  expect(destroyed == 1, "its data is freed once");
}

/* refused tells whether a field was refused with `word` in the sentence. */
static int refused(postern_status status, postern_error** error, const char* word) {
  const int yes =
      status == POSTERN_ERR_INVALID_ARGUMENT && strstr(postern_error_message(*error), word) != NULL;
  postern_error_free(*error);
  *error = NULL;
  return yes;
}

static int count(const char* text, const char* piece) {
  int found = 0;
  for (text = strstr(text, piece); text != NULL; text = strstr(text + 1, piece)) ++found;
  return found;
}

static void test_letter_is_held_to_the_rules(void) {
  static const char* const bad[][2] = {
      {"Content-Type", "text/html"}, {"content-transfer-encoding", "8bit"},
      {"From", "b@example.org"},     {"To", "b@example.org"},
      {"Date", "garbage"},           {"Message-ID", "no id"},
      {"MIME-Version", "2.0"}};
  static const char* const types[] = {"nonsense", "text/", "text/x y", "multipart/mixed",
                                      "a/b\r\nBcc: c@d"};
  static const char* const ids[] = {"no-at", "a b@c", "<a@b", "a@b>"};
  postern_letter* letter = NULL;
  postern_error* error = NULL;
  postern_buf out = {NULL, 0};
  size_t i;
  expect(postern_letter_new(&letter, NULL) == POSTERN_OK, "a letter");
  expect(refused(postern_letter_build(&out, letter, &error), &error, "no From"),
         "a letter needs an author");
  for (i = 0; i < sizeof bad / sizeof *bad; ++i) {
    const char* word = i == 1 ? "letter itself" : bad[i][0];
    expect(refused(postern_letter_header(letter, bad[i][0], bad[i][1], &error), &error, word),
           bad[i][0]);
  }
  expect(refused(postern_letter_address(letter, "Subject", NULL, "a@example.org", &error), &error,
                 "no field of addresses"),
         "Subject has no addresses");
  for (i = 0; i < sizeof types / sizeof *types; ++i) {
    postern_attachment attachment = POSTERN_ATTACHMENT_INIT;
    attachment.data = "x";
    attachment.len = 1;
    attachment.content_type = types[i];
    expect(refused(postern_letter_attach(letter, &attachment, &error), &error, "content type"),
           types[i]);
  }
  for (i = 0; i < sizeof ids / sizeof *ids; ++i) {
    postern_attachment attachment = POSTERN_ATTACHMENT_INIT;
    attachment.data = "x";
    attachment.len = 1;
    attachment.content_id = ids[i];
    expect(refused(postern_letter_attach(letter, &attachment, &error), &error, "content id"),
           ids[i]);
  }
  expect(postern_letter_header(letter, "Subject", "one", NULL) == POSTERN_OK &&
             postern_letter_header(letter, "SUBJECT", "two", NULL) == POSTERN_OK &&
             postern_letter_header(letter, "Date", "21 Nov 97 09:55:06 GMT", NULL) == POSTERN_OK &&
             postern_letter_address(letter, "From", NULL, "a@example.org", NULL) == POSTERN_OK &&
             postern_letter_build(&out, letter, NULL) == POSTERN_OK &&
             count(out.data, "Subject:") == 1 && strstr(out.data, "Subject: two\r\n") != NULL &&
             count(out.data, "Date:") == 1 &&
             strstr(out.data, "Date: Fri, 21 Nov 1997 09:55:06 +0000\r\n") != NULL,
         "what may stand once is replaced, and a date gets its form");
  postern_buf_free(&out);
  expect(postern_letter_address(letter, "From", NULL, "b@example.org", NULL) == POSTERN_OK, "two");
  expect(refused(postern_letter_build(&out, letter, &error), &error, "Sender"),
         "two authors need a sender");
  expect(postern_letter_address(letter, "Sender", NULL, "a@example.org", NULL) == POSTERN_OK &&
             postern_letter_build(&out, letter, NULL) == POSTERN_OK,
         "with a sender they may");
  postern_buf_free(&out);
  expect(refused(postern_letter_address(letter, "Sender", NULL, "b@example.org", &error), &error,
                 "one address"),
         "one sender");
  postern_letter_free(letter);
}

/* Ten things that are wrong, each by its name. */
static void test_defects(void) {
  static const char mail[] =
      "From : a@b.c\r\nSubject: s\r\nSubject: t\r\nDate: garbage\r\nTo: a@b.c b@c.d\r\n"
      "X: =?bogus-charset?q?=e4?=\r\n"
      "Content-Disposition: attachment; filename*=utf-8''%e4%zz\r\n\r\n"
      "bare\rCR bare\nLF and nul \0 and 8bit \xC3\xA4\r\n";
  static const char* const names[] = {"repeated_field",  "bad_date",      "missing_comma",
                                      "unknown_charset", "bad_parameter", "blank_before_colon",
                                      "bare_cr_in_body", "bare_lf",       "nul_in_body",
                                      "undeclared_8bit"};
  postern_parsed* parsed = NULL;
  postern_defect defect;
  size_t i, k;
  expect(postern_parsed_new(&parsed, mail, sizeof mail - 1, NULL, NULL) == POSTERN_OK, "parsed");
  for (i = 0; i < sizeof names / sizeof *names; ++i) {
    int found = 0;
    for (k = 0; k < postern_parsed_defect_count(parsed); ++k) {
      memset(&defect, 0, sizeof defect);
      defect.struct_size = sizeof defect;
      if (postern_parsed_defect(&defect, parsed, k) == POSTERN_OK && is(defect.name, names[i]))
        ++found;
    }
    expect(found == 1, names[i]);
  }
  postern_parsed_free(parsed);
}

static void test_addresses(void) {
  postern_buf out = {NULL, 0};
  postern_error* error = NULL;
  expect(postern_address_normalize(&out, "\"a\"@EXAMPLE.org", 15, NULL) == POSTERN_OK &&
             strcmp(out.data, "a@example.org") == 0,
         "normalized");
  postern_buf_free(&out);
  expect(postern_address_normalize(&out, "@x.test,@y.test:a@EXAMPLE.org", 29, NULL) == POSTERN_OK &&
             strcmp(out.data, "a@example.org") == 0,
         "a source route is dropped");
  postern_buf_free(&out);
  expect(postern_address_normalize(&out, "<@x.test:a@example.org>", 23, NULL) == POSTERN_OK &&
             strcmp(out.data, "a@example.org") == 0,
         "a path too");
  postern_buf_free(&out);
  expect(postern_address_normalize(&out,
                                   "a@b\xC3\xBC"
                                   "cher.example",
                                   17, NULL) == POSTERN_OK &&
             strcmp(out.data, "a@xn--bcher-kva.example") == 0,
         "one form of a name");
  postern_buf_free(&out);
  expect(postern_address_normalize(NULL, "<a@b> c", 7, NULL) == POSTERN_ERR_INVALID_ARGUMENT,
         "nothing may follow");
  expect(postern_address_normalize(&out, "a@", 2, &error) == POSTERN_ERR_INVALID_ARGUMENT &&
             strstr(postern_error_message(error), "domain") != NULL,
         "the error says why");
  postern_error_free(error);
  expect(postern_domain_to_ascii(&out,
                                 "b\xC3\xBC"
                                 "cher.example",
                                 15, NULL) == POSTERN_OK &&
             strcmp(out.data, "xn--bcher-kva.example") == 0,
         "A-labels");
  postern_buf_free(&out);
}

int main(void) {
  test_parsed();
  test_letter();
  test_letter_is_held_to_the_rules();
  test_defects();
  test_addresses();
  return failures == 0 ? 0 : 1;
}
