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
  postern_letter_free(letter);
  expect(destroyed == 1, "its data is freed once");
}

static void test_addresses(void) {
  postern_buf out = {NULL, 0};
  postern_error* error = NULL;
  expect(postern_address_normalize(&out, "\"a\"@EXAMPLE.org", 15, NULL) == POSTERN_OK &&
             strcmp(out.data, "a@example.org") == 0,
         "normalized");
  postern_buf_free(&out);
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
  test_addresses();
  return failures == 0 ? 0 : 1;
}
