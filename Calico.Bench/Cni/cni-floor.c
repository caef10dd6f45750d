/* The floor for CniBench: a CNI plugin that makes for a pod what Calico makes for it, with the fewest system calls that do
   it and nothing around them: no daemon, no datastore, no checks.
   Beside the runtime's variables it takes FLOOR_HOST (name of the host end), FLOOR_ADDRESS (the pod's), FLOOR_NFT (a file
   with the nftables batches to send, each behind its length) and FLOOR_STATE (a file to leave behind, as Calico's journal). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[16 * 1024], answer[32 * 1024], *at = buffer;
static struct nlmsghdr *message;

static void die(const char *what)
{
    printf("{\"code\":999,\"msg\":\"%s: %s\"}\n", what, strerror(errno));
    exit(1);
}

static const char *need(const char *name)
{
    const char *value = getenv(name);
    if (!value)
        die(name);
    return value;
}

static void put(const void *bytes, int length)
{
    memcpy(at, bytes, length);
    memset(at + length, 0, NLMSG_ALIGN(length) - length);
    at += NLMSG_ALIGN(length);
}

static void begin(int type, int flags, const void *header, int length)
{
    message = (struct nlmsghdr *)at;
    *message = (struct nlmsghdr){ .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags, .nlmsg_seq = 1 };
    at += sizeof *message;
    put(header, length);
}

static void attribute(int type, const void *value, int length)
{
    struct rtattr header = { .rta_len = RTA_LENGTH(length), .rta_type = type };
    put(&header, sizeof header);
    put(value, length);
}

static void number(int type, unsigned value) { attribute(type, &value, 4); }
static void text(int type, const char *value) { attribute(type, value, strlen(value) + 1); }

static struct rtattr *nest(int type)
{
    struct rtattr *start = (struct rtattr *)at, header = { .rta_type = type | NLA_F_NESTED };
    put(&header, sizeof header);
    return start;
}

static void unnest(struct rtattr *start) { start->rta_len = at - (char *)start; }
static void end(void) { message->nlmsg_len = at - (char *)message; }

static int netlink(int protocol)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (fd < 0)
        die("netlink");
    return fd;
}

/* Sends what was written, with an acknowledgement of the last message only; a new link's reply gives both indexes. */
static void exchange(int fd, const char *what, int *index, int *peer)
{
    message->nlmsg_flags |= NLM_F_ACK;
    message->nlmsg_seq = 2;
    if (send(fd, buffer, at - buffer, 0) < 0)
        die(what);
    at = buffer;
    while (1) {
        int length = recv(fd, answer, sizeof answer, 0);
        if (length < 0)
            die(what);
        for (struct nlmsghdr *m = (struct nlmsghdr *)answer; NLMSG_OK(m, length); m = NLMSG_NEXT(m, length)) {
            if (m->nlmsg_type == NLMSG_ERROR) {
                errno = -((struct nlmsgerr *)NLMSG_DATA(m))->error;
                if (errno)
                    die(what);
                if (m->nlmsg_seq == 2)
                    return;
            } else if (m->nlmsg_type == RTM_NEWLINK && index) {
                struct ifinfomsg *link = NLMSG_DATA(m);
                int left = m->nlmsg_len - NLMSG_LENGTH(sizeof *link);
                *index = link->ifi_index;
                for (struct rtattr *a = IFLA_RTA(link); RTA_OK(a, left); a = RTA_NEXT(a, left))
                    if (a->rta_type == IFLA_LINK)
                        *peer = *(int *)RTA_DATA(a);
            }
        }
    }
}

static void pair(int fd, const char *host, const char *inside, int netns, const unsigned char *mac, int *index, int *peer)
{
    static const unsigned char ee[6] = { 0xee, 0xee, 0xee, 0xee, 0xee, 0xee };
    struct ifinfomsg none = { 0 };
    begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &none, sizeof none);
    text(IFLA_IFNAME, host);
    number(IFLA_MTU, 1500);
    attribute(IFLA_ADDRESS, ee, 6);
    number(IFLA_NUM_TX_QUEUES, 1);
    number(IFLA_NUM_RX_QUEUES, 1);
    struct rtattr *info = nest(IFLA_LINKINFO);
    text(IFLA_INFO_KIND, "veth");
    struct rtattr *data = nest(IFLA_INFO_DATA), *other = nest(VETH_INFO_PEER);
    put(&none, sizeof none);
    text(IFLA_IFNAME, inside);
    number(IFLA_NET_NS_FD, netns);
    number(IFLA_MTU, 1500);
    attribute(IFLA_ADDRESS, mac, 6);
    number(IFLA_NUM_TX_QUEUES, 1);
    number(IFLA_NUM_RX_QUEUES, 1);
    unnest(other);
    unnest(data);
    unnest(info);
    end();
    begin(RTM_GETLINK, 0, &none, sizeof none);
    text(IFLA_IFNAME, host);
    end();
    exchange(fd, "pair", index, peer);
}

static void up(int index)
{
    struct ifinfomsg link = { .ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
    begin(RTM_NEWLINK, 0, &link, sizeof link);
    end();
}

static void route(int index, unsigned destination, int bits, unsigned gateway, int scope, unsigned metric)
{
    struct rtmsg header = { .rtm_family = AF_INET, .rtm_dst_len = bits, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_BOOT,
                            .rtm_scope = scope, .rtm_type = RTN_UNICAST };
    begin(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &header, sizeof header);
    if (bits)
        number(RTA_DST, destination);
    if (gateway)
        number(RTA_GATEWAY, gateway);
    if (metric)
        number(RTA_PRIORITY, metric);
    number(RTA_OIF, index);
    end();
}

static void set(const char *path, char value)
{
    char now = 0;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || read(fd, &now, 1) != 1 || (now != value && (lseek(fd, 0, SEEK_SET) || write(fd, &value, 1) != 1)))
        die(path);
    close(fd);
}

/* The pod's side: up, its address, the gateway that nobody owns, and everything by it. */
static void inside(int fd, int index, unsigned address)
{
    struct ifaddrmsg header = { .ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = index };
    up(index);
    begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof header);
    number(IFA_LOCAL, address);
    number(IFA_ADDRESS, address);
    end();
    route(index, htonl(0xa9fe0101), 32, 0, RT_SCOPE_LINK, 0);
    route(index, 0, 0, htonl(0xa9fe0101), RT_SCOPE_UNIVERSE, 0);
    exchange(fd, "pod", 0, 0);
}

/* The host's side: sysctls, up, and the route to the pod. */
static void outside(int fd, const char *name, int index, unsigned address)
{
    char path[128];
    snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/accept_ra", name);
    set(path, '0');
    struct ifinfomsg link = { .ifi_index = index };
    struct ndtmsg table = { .ndtm_family = AF_INET };
    begin(RTM_NEWLINK, 0, &link, sizeof link);
    struct rtattr *families = nest(IFLA_AF_SPEC), *family = nest(AF_INET), *conf = nest(IFLA_INET_CONF);
    number(IPV4_DEVCONF_FORWARDING, 1);
    number(IPV4_DEVCONF_PROXY_ARP, 1);
    number(IPV4_DEVCONF_ROUTE_LOCALNET, 1);
    unnest(conf);
    unnest(family);
    unnest(families);
    end();
    begin(RTM_SETNEIGHTBL, 0, &table, sizeof table);
    text(NDTA_NAME, "arp_cache");
    struct rtattr *parameters = nest(NDTA_PARMS);
    unsigned long long none = 0;
    number(NDTPA_IFINDEX, index);
    attribute(NDTPA_PROXY_DELAY, &none, 8);
    unnest(parameters);
    end();
    up(index);
    route(index, address, 32, 0, RT_SCOPE_LINK, 1024);
    exchange(fd, "host", 0, 0);
}

static void policy(const char *file)
{
    static char batches[64 * 1024];
    int fd = open(file, O_RDONLY | O_CLOEXEC), all = read(fd, batches, sizeof batches), nft = netlink(NETLINK_NETFILTER);
    struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
    close(fd);
    for (int done = 0; done < all;) {
        int length = *(int *)(batches + done);
        if (sendto(nft, batches + done + 4, length, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
            die("nft");
        done += 4 + length;
        /* Only what is refused is answered. */
        if (recv(nft, answer, sizeof answer, MSG_DONTWAIT) > 0) {
            errno = -((struct nlmsgerr *)NLMSG_DATA((struct nlmsghdr *)answer))->error;
            die("nft");
        }
    }
    close(nft);
}

static void add(void)
{
    const char *name = need("FLOOR_HOST"), *state = need("FLOOR_STATE"), *ip = need("FLOOR_ADDRESS");
    unsigned address = inet_addr(ip);
    unsigned char mac[6];
    int pod = open(need("CNI_NETNS"), O_RDONLY | O_CLOEXEC), own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), index = 0, peer = 0;
    if (pod < 0 || own < 0 || getrandom(mac, 6, 0) != 6)
        die("namespace");
    mac[0] = (mac[0] & 0xfc) | 2;
    int host = netlink(NETLINK_ROUTE);
    pair(host, name, need("CNI_IFNAME"), pod, mac, &index, &peer);
    if (setns(pod, CLONE_NEWNET))
        die("setns");
    int guest = netlink(NETLINK_ROUTE);
    set("/proc/sys/net/ipv4/ip_forward", '0');
    if (setns(own, CLONE_NEWNET))
        die("setns");
    inside(guest, peer, address);
    policy(need("FLOOR_NFT"));
    outside(host, name, index, address);

    char temporary[256], line[512];
    snprintf(temporary, sizeof temporary, "%s.tmp", state);
    int length = snprintf(line, sizeof line,
        "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"%s\"},{\"name\":\"eth0\",\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\",\"mtu\":1500,"
        "\"sandbox\":\"%s\"}],\"ips\":[{\"interface\":1,\"address\":\"%s/32\"}],\"routes\":[{\"dst\":\"%s/32\"}],\"dns\":{}}",
        name, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], getenv("CNI_NETNS"), ip, ip);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, length) != length || close(fd) || rename(temporary, state) || write(1, line, length) != length)
        die(state);
}

static void del(void)
{
    struct ifinfomsg none = { 0 };
    policy(need("FLOOR_NFT"));
    begin(RTM_DELLINK, 0, &none, sizeof none);
    text(IFLA_IFNAME, need("FLOOR_HOST"));
    end();
    exchange(netlink(NETLINK_ROUTE), "delete", 0, 0);
    unlink(need("FLOOR_STATE"));
}

int main(void)
{
    while (read(0, answer, sizeof answer) > 0) {
    }
    if (!strcmp(need("CNI_COMMAND"), "ADD"))
        add();
    else
        del();
    return 0;
}
