/* Minimal C-STORE receiver that answers when an instance is on the disk.
 *
 *     bare_receiver PORT FOLDER
 *
 * An upper bound for bench/ingest.py, not for use: it trusts every sender, inspects and hashes
 * nothing, and accepts any presentation context with its first transfer syntax. It writes to the
 * disk as our listener does. One thread per association.
 */
#define _DEFAULT_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PDU_HEADER = 6, MAX_PDU = 131072, BUFFER = 4 * MAX_PDU, LARGEST = 64 << 20 };
enum { ASSOCIATE_RQ = 1, ASSOCIATE_AC = 2, P_DATA = 4, RELEASE_RQ = 5, RELEASE_RP = 6 };

static const char *folder;
static char incoming[4000];

typedef struct {
    int connection;
    uint8_t *buffer;
    size_t start, end;
    uint8_t *instance;
    size_t size;
    uint8_t sop_class[66], sop_instance[66];
    size_t class_size, instance_size;
    uint16_t field, message_id;
    int has_data;
} Association;

static uint16_t get16(const uint8_t *from) { uint16_t v; memcpy(&v, from, 2); return be16toh(v); }
static uint32_t get32(const uint8_t *from) { uint32_t v; memcpy(&v, from, 4); return be32toh(v); }
static uint16_t get16le(const uint8_t *from) { uint16_t v; memcpy(&v, from, 2); return le16toh(v); }
static uint32_t get32le(const uint8_t *from) { uint32_t v; memcpy(&v, from, 4); return le32toh(v); }
static void put16(uint8_t *to, uint16_t v) { v = htobe16(v); memcpy(to, &v, 2); }
static void put32(uint8_t *to, uint32_t v) { v = htobe32(v); memcpy(to, &v, 4); }
static void put16le(uint8_t *to, uint16_t v) { v = htole16(v); memcpy(to, &v, 2); }
static void put32le(uint8_t *to, uint32_t v) { v = htole32(v); memcpy(to, &v, 4); }

static void check(int succeeded, const char *what) {
    if (!succeeded) { perror(what); exit(1); }
}

static int send_all(int connection, const uint8_t *bytes, size_t size) {
    for (ssize_t sent; size; bytes += sent, size -= sent)
        if ((sent = send(connection, bytes, size, MSG_NOSIGNAL)) <= 0) return 0;
    return 1;
}

static int fill(Association *a, size_t needed) {
    if (a->start + needed > BUFFER) {
        memmove(a->buffer, a->buffer + a->start, a->end - a->start);
        a->end -= a->start, a->start = 0;
    }
    while (a->end - a->start < needed) {
        ssize_t came = read(a->connection, a->buffer + a->end, BUFFER - a->end);
        if (came <= 0) return 0;
        a->end += came;
    }
    return 1;
}

static size_t put_item(uint8_t *to, uint8_t kind, const void *value, size_t size) {
    to[0] = kind, to[1] = 0;
    put16(to + 2, size);
    memmove(to + 4, value, size);
    return 4 + size;
}

/* PS3.8 9.3.2 and 9.3.3: every context that is proposed, with its first transfer syntax. */
static int accept_association(Association *a, const uint8_t *request, size_t size) {
    uint8_t *answer = calloc(1, MAX_PDU), *to = answer + PDU_HEADER;
    memcpy(to, request, 68), to += 68;
    for (size_t at = 68; at + 4 <= size; at += 4 + get16(request + at + 2)) {
        const uint8_t *value = request + at + 4;
        if (request[at] == 0x10) to += put_item(to, 0x10, value, get16(request + at + 2));
        if (request[at] != 0x20) continue;
        const uint8_t *sub = value + 4;
        while (*sub != 0x40) sub += 4 + get16(sub + 2);
        uint8_t context[80] = {value[0]};
        to += put_item(to, 0x21, context, 4 + put_item(context + 4, 0x40, sub + 4, get16(sub + 2)));
    }
    uint8_t user[64], largest[4];
    put32(largest, MAX_PDU);
    size_t user_size = put_item(user, 0x51, largest, 4);
    user_size += put_item(user + user_size, 0x52, "1.2.3.4", 7);
    to += put_item(to, 0x50, user, user_size);
    answer[0] = ASSOCIATE_AC;
    put32(answer + 2, to - answer - PDU_HEADER);
    int sent = send_all(a->connection, answer, to - answer);
    free(answer);
    return sent;
}

/* PS3.7 6.3.1 */
static void read_command(Association *a, const uint8_t *command, size_t size) {
    for (size_t at = 0; at + 8 <= size; at += 8 + get32le(command + at + 4)) {
        const uint8_t *value = command + at + 8;
        size_t length = get32le(command + at + 4);
        switch (get16le(command + at + 2)) {
        case 0x0002: memcpy(a->sop_class, value, a->class_size = length); break;
        case 0x0100: a->field = get16le(value); break;
        case 0x0110: a->message_id = get16le(value); break;
        case 0x0800: a->has_data = get16le(value) != 0x0101; break;
        case 0x1000: memcpy(a->sop_instance, value, a->instance_size = length); break;
        }
    }
}

static size_t put_element(uint8_t *to, uint16_t element, const void *value, size_t size) {
    put16le(to, 0), put16le(to + 2, element), put32le(to + 4, size);
    memcpy(to + 8, value, size);
    return 8 + size;
}

static size_t put_short(uint8_t *to, uint16_t element, uint16_t value) {
    value = htole16(value);
    return put_element(to, element, &value, 2);
}

/* PS3.7 9.3.1.2, or 9.3.5.2 for an echo */
static int answer(Association *a, uint8_t context) {
    uint8_t pdu[512] = {P_DATA}, size[4], *first = pdu + 12 + 12, *to = first;
    to += put_element(to, 0x0002, a->sop_class, a->class_size);
    to += put_short(to, 0x0100, a->field | 0x8000);
    to += put_short(to, 0x0120, a->message_id);
    to += put_short(to, 0x0800, 0x0101);
    to += put_short(to, 0x0900, 0x0000);
    if (a->has_data) to += put_element(to, 0x1000, a->sop_instance, a->instance_size);
    put32le(size, to - first);
    put_element(pdu + 12, 0x0000, size, 4);
    put32(pdu + 2, to - pdu - PDU_HEADER), put32(pdu + 6, to - pdu - 10);
    pdu[10] = context, pdu[11] = 0x03;
    return send_all(a->connection, pdu, to - pdu);
}

/* Writes, syncs, names and syncs the folder; returns the open file, whose first name is `part`. */
static int store(Association *a, char part[4096]) {
    static _Atomic unsigned number;
    char path[4096];
    snprintf(part, 4096, "%s/%u.part", incoming, number++);
    int file = open(part, O_RDWR | O_CREAT | O_EXCL, 0640);
    check(file >= 0, part);
    for (size_t at = 0; at < a->size;) {
        ssize_t written = write(file, a->instance + at, a->size - at);
        check(written > 0, "write");
        at += written;
    }
    check(!fsync(file), "fsync");
    int length = strnlen((char *)a->sop_instance, a->instance_size);
    snprintf(path, sizeof path, "%s/%.*s.dcm", folder, length, a->sop_instance);
    check(!link(part, path), path);
    int entries = open(folder, O_RDONLY | O_DIRECTORY);
    check(entries >= 0 && !fsync(entries), "fsync of the folder");
    close(entries);
    return file;
}

/* PS3.8 9.3.5; a command is expected to come in one piece */
static int take(Association *a, const uint8_t *values, size_t size) {
    for (size_t at = 0; at + 6 <= size; at += 4 + get32(values + at)) {
        uint8_t context = values[at + 4], control = values[at + 5];
        const uint8_t *fragment = values + at + 6;
        size_t length = get32(values + at) - 2;
        if (control & 1) {
            read_command(a, fragment, length);
            a->size = 332; /* as much as our preamble and file meta */
            if (!a->has_data && !answer(a, context)) return 0;
            continue;
        }
        check(a->size + length <= LARGEST, "too large");
        memcpy(a->instance + a->size, fragment, length);
        a->size += length;
        if (!(control & 2)) continue;
        char part[4096];
        int file = store(a, part), sent = answer(a, context);
        close(file);
        unlink(part);
        if (!sent) return 0;
    }
    return 1;
}

static void *serve(void *connection) {
    Association a = {.connection = (int)(intptr_t)connection};
    a.buffer = malloc(BUFFER), a.instance = calloc(1, LARGEST);
    for (int open = 1; open && fill(&a, PDU_HEADER);) {
        uint8_t kind = a.buffer[a.start];
        size_t size = get32(a.buffer + a.start + 2);
        if (size > BUFFER - PDU_HEADER || !fill(&a, PDU_HEADER + size)) break;
        const uint8_t *body = a.buffer + a.start + PDU_HEADER;
        a.start += PDU_HEADER + size;
        static const uint8_t release[10] = {RELEASE_RP, 0, 0, 0, 0, 4};
        open = kind == ASSOCIATE_RQ ? accept_association(&a, body, size)
             : kind == P_DATA ? take(&a, body, size) : 0;
        if (kind == RELEASE_RQ) send_all(a.connection, release, sizeof release);
    }
    close(a.connection);
    free(a.buffer), free(a.instance);
    return NULL;
}

int main(int count, char **arguments) {
    if (count != 3) { fprintf(stderr, "usage: bare_receiver PORT FOLDER\n"); return 2; }
    folder = arguments[2];
    snprintf(incoming, sizeof incoming, "%s/incoming", folder);
    check(!mkdir(incoming, 0750), incoming);
    int listening = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    check(!bind(listening, (struct sockaddr *)&address, sizeof address), "bind");
    check(!listen(listening, 64), "listen");
    for (;;) {
        int connection = accept(listening, NULL, NULL);
        pthread_t thread;
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        check(!pthread_create(&thread, NULL, serve, (void *)(intptr_t)connection), "thread");
        pthread_detach(thread);
    }
}
