/* The floor for RouteBench: the same requests in the same packing with nothing around them.
   Arguments: count, link index. Prints the milliseconds of adding and of removing. */
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static char buffer[64 * 1024 + 256], answer[64 * 1024];

static char *attribute(char *at, int type, const void *value, int length)
{
    struct rtattr *a = (struct rtattr *)at;
    a->rta_type = type;
    a->rta_len = RTA_LENGTH(length);
    memcpy(RTA_DATA(a), value, length);
    return at + RTA_ALIGN(a->rta_len);
}

static double run(int fd, int count, int link, int remove)
{
    struct timespec from, to;
    unsigned sequence = 1, table = 254, gateway = htonl(0x0A000002);
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < count;) {
        char *at = buffer;
        struct nlmsghdr *header = 0;
        while (i < count && at - buffer < 64 * 1024) {
            unsigned destination = htonl(0x0B000000u + i++);
            header = (struct nlmsghdr *)at;
            memset(header, 0, sizeof *header);
            header->nlmsg_type = remove ? RTM_DELROUTE : RTM_NEWROUTE;
            header->nlmsg_flags = NLM_F_REQUEST | (remove ? 0 : NLM_F_CREATE | NLM_F_REPLACE);
            header->nlmsg_seq = sequence++;
            struct rtmsg *route = (struct rtmsg *)(header + 1);
            memset(route, 0, sizeof *route);
            route->rtm_family = AF_INET;
            route->rtm_dst_len = 32;
            route->rtm_protocol = 80;
            route->rtm_scope = remove ? RT_SCOPE_NOWHERE : RT_SCOPE_UNIVERSE;
            route->rtm_type = remove ? 0 : RTN_UNICAST;
            at = (char *)(route + 1);
            at = attribute(at, RTA_DST, &destination, 4);
            at = attribute(at, RTA_TABLE, &table, 4);
            if (!remove) {
                at = attribute(at, RTA_GATEWAY, &gateway, 4);
                at = attribute(at, RTA_OIF, &link, 4);
            }
            header->nlmsg_len = at - (char *)header;
        }
        header->nlmsg_flags |= NLM_F_ACK;
        if (send(fd, buffer, at - buffer, 0) < 0)
            exit(1);
        if (recv(fd, answer, sizeof answer, 0) < 0 || ((struct nlmsgerr *)(answer + 16))->error)
            exit(2);
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    return (to.tv_sec - from.tv_sec) * 1e3 + (to.tv_nsec - from.tv_nsec) / 1e6;
}

int main(int argc, char **argv)
{
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), size = 4 * 1024 * 1024;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    double add = run(fd, atoi(argv[1]), atoi(argv[2]), 0);
    printf("%.3f %.3f\n", add, run(fd, atoi(argv[1]), atoi(argv[2]), 1));
    return argc != 3;
}
