/*
 * The floor under ADD and DEL of bridge (add, del) and of host-device (take, return): the netlink
 * messages that must be sent, and nothing else. No JSON, no leases, no records, no checks. What a
 * plugin needs above this is the plugin's own.
 *
 *   floor add NETNS_PATH HOST_LINK IFNAME BRIDGE (ADDRESS/PREFIX GATEWAY)...
 *   floor del NETNS_PATH IFNAME
 *   floor take NETNS_PATH HOST_LINK IFNAME (ADDRESS/PREFIX GATEWAY)...
 *   floor return NETNS_PATH HOST_LINK IFNAME
 *   floor nothing          starts and ends: the floor under any call
 *
 * Exit code: 0 done, 1 the kernel refused (the reason is on stderr), 2 wrong arguments.
 *
 * Build: gcc -O2 -static
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Two families take six requests of about 60 bytes each; this is ample. */
static _Alignas(NLMSG_ALIGNTO) char batch[4096];
static size_t batch_length;
static unsigned batch_count;

static void say(const char *text)
{
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		_exit(1);
}

static void fail(const char *doing, int error)
{
	say("floor: cannot ");
	say(doing);
	say(": ");
	say(strerror(error));
	say("\n");
	_exit(1);
}

static void misused(void)
{
	say("usage: floor add NETNS_PATH HOST_LINK IFNAME BRIDGE (ADDRESS/PREFIX GATEWAY)...\n"
	    "       floor del NETNS_PATH IFNAME\n"
	    "       floor take NETNS_PATH HOST_LINK IFNAME (ADDRESS/PREFIX GATEWAY)...\n"
	    "       floor return NETNS_PATH HOST_LINK IFNAME\n"
	    "       floor nothing\n");
	_exit(2);
}

/* Appends bytes, padded as netlink wants them, and returns where they begin. */
static void *append(const void *data, size_t length)
{
	size_t padded = NLMSG_ALIGN(length);
	char *start = batch + batch_length;

	if (padded > sizeof(batch) - batch_length)
		fail("hold that many requests", ENOBUFS);
	if (data)
		memcpy(start, data, length);
	batch_length += padded;
	return start;
}

static struct nlmsghdr *begin(int type, int flags, const void *body, size_t length)
{
	struct nlmsghdr *message = append(NULL, sizeof(*message));

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	message->nlmsg_seq = ++batch_count;
	append(body, length);
	return message;
}

static void end(struct nlmsghdr *message)
{
	message->nlmsg_len = (batch + batch_length) - (char *)message;
}

static struct rtattr *attribute(int type, const void *data, size_t length)
{
	struct rtattr *start = append(NULL, sizeof(*start));

	start->rta_type = type;
	start->rta_len = RTA_LENGTH(length);
	if (length)
		append(data, length);
	return start;
}

static void close_nest(struct rtattr *nest)
{
	nest->rta_len = (batch + batch_length) - (char *)nest;
}

static int open_socket(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		fail("open a netlink socket", errno);
	return fd;
}

/* A link's index. The question may be asked on any socket of the namespace. */
static int index_of(int fd, const char *name)
{
	struct ifreq request = { 0 };

	if (strlen(name) >= IFNAMSIZ)
		fail("use a link name of more than 15 bytes", EINVAL);
	strcpy(request.ifr_name, name);
	if (ioctl(fd, SIOCGIFINDEX, &request) < 0)
		fail("find the link", errno);
	return request.ifr_ifindex;
}

/* Sends what was appended in one call, and reads an acknowledgement for each request. */
static void send_batch(int fd, const char *doing)
{
	_Alignas(NLMSG_ALIGNTO) char answers[8192];
	unsigned missing = batch_count;

	if (send(fd, batch, batch_length, 0) != (ssize_t)batch_length)
		fail(doing, errno);
	while (missing) {
		ssize_t received = recv(fd, answers, sizeof(answers), 0);
		struct nlmsghdr *answer = (struct nlmsghdr *)answers;
		unsigned left = received < 0 ? 0 : received;

		if (received < 0)
			fail(doing, errno);
		for (; NLMSG_OK(answer, left); answer = NLMSG_NEXT(answer, left)) {
			struct nlmsgerr *error = NLMSG_DATA(answer);

			if (answer->nlmsg_type != NLMSG_ERROR)
				continue;
			if (error->error)
				fail(doing, -error->error);
			missing--;
		}
	}
	batch_length = 0;
	batch_count = 0;
}

static int open_namespace(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail("open the namespace", errno);
	return fd;
}

/* The process ends soon, so it need not come back. */
static int enter_and_open_socket(int namespace_fd)
{
	if (setns(namespace_fd, CLONE_NEWNET) < 0)
		fail("enter the namespace", errno);
	return open_socket();
}

/* The whole pair in one message: host end in the bridge and up, peer in the pod's namespace. */
static void append_pair(const char *host_link, int bridge, const char *peer, int namespace_fd)
{
	struct ifinfomsg up = { .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	struct ifinfomsg none = { 0 };
	struct nlmsghdr *message =
		begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &up, sizeof(up));
	struct rtattr *info, *data, *other;

	attribute(IFLA_IFNAME, host_link, strlen(host_link) + 1);
	attribute(IFLA_MASTER, &bridge, sizeof(bridge));
	info = attribute(IFLA_LINKINFO, NULL, 0);
	attribute(IFLA_INFO_KIND, "veth", 4);
	data = attribute(IFLA_INFO_DATA, NULL, 0);
	other = attribute(VETH_INFO_PEER, &none, sizeof(none));
	attribute(IFLA_IFNAME, peer, strlen(peer) + 1);
	attribute(IFLA_NET_NS_FD, &namespace_fd, sizeof(namespace_fd));
	close_nest(other);
	close_nest(data);
	close_nest(info);
	end(message);
}

static void append_up(int link)
{
	struct ifinfomsg up = { .ifi_index = link, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };

	end(begin(RTM_NEWLINK, 0, &up, sizeof(up)));
}

/* Reads an address of either family; returns its length in bytes. */
static size_t parse(const char *text, void *address, unsigned char *family)
{
	*family = strchr(text, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(*family, text, address) != 1)
		fail("read the address", EINVAL);
	return *family == AF_INET6 ? 16 : 4;
}

static void append_address(int link, char *text)
{
	struct ifaddrmsg body = { .ifa_index = link };
	unsigned char address[16];
	char *slash = strchr(text, '/');
	struct nlmsghdr *message;
	size_t length;

	if (!slash)
		fail("read an address without /PREFIX", EINVAL);
	*slash = '\0';
	body.ifa_prefixlen = atoi(slash + 1);
	length = parse(text, address, &body.ifa_family);
	/* The address is known to be unique: no detection of duplicates, which takes a second. */
	if (body.ifa_family == AF_INET6)
		body.ifa_flags = IFA_F_NODAD;
	message = begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));
	attribute(IFA_LOCAL, address, length);
	attribute(IFA_ADDRESS, address, length);
	end(message);
}

static void append_default_route(int link, const char *gateway)
{
	struct rtmsg body = {
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_BOOT,
		.rtm_scope = RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST,
	};
	unsigned char address[16];
	size_t length = parse(gateway, address, &body.rtm_family);
	struct nlmsghdr *message =
		begin(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));

	attribute(RTA_GATEWAY, address, length);
	attribute(RTA_OIF, &link, sizeof(link));
	end(message);
}

/* The link in the pod's namespace comes up, with pairs of an address and a gateway. */
static void dress(int namespace_fd, const char *ifname, int count, char **pairs)
{
	int pod = enter_and_open_socket(namespace_fd);
	int link = index_of(pod, ifname);

	append_up(link);
	for (int i = 0; i < count; i += 2) {
		append_address(link, pairs[i]);
		append_default_route(link, pairs[i + 1]);
	}
	send_batch(pod, "set the pod's link up");
}

static void add(int count, char **arguments)
{
	const char *path = arguments[0], *host_link = arguments[1];
	const char *ifname = arguments[2], *bridge = arguments[3];
	int namespace_fd = open_namespace(path);
	int host = open_socket();

	append_pair(host_link, index_of(host, bridge), ifname, namespace_fd);
	send_batch(host, "make the veth pair");

	dress(namespace_fd, ifname, count - 4, arguments + 4);
}

/* A link goes to another namespace under another name, in one message. */
static void send_move(int fd, const char *from, const char *to, int namespace_fd)
{
	struct ifinfomsg body = { .ifi_index = index_of(fd, from) };
	struct nlmsghdr *message = begin(RTM_SETLINK, 0, &body, sizeof(body));

	attribute(IFLA_NET_NS_FD, &namespace_fd, sizeof(namespace_fd));
	attribute(IFLA_IFNAME, to, strlen(to) + 1);
	end(message);
	send_batch(fd, "move the link");
}

static void take(int count, char **arguments)
{
	const char *link = arguments[1], *ifname = arguments[2];
	int namespace_fd = open_namespace(arguments[0]);

	send_move(open_socket(), link, ifname, namespace_fd);
	dress(namespace_fd, ifname, count - 3, arguments + 3);
}

static void give_back(const char *path, const char *link, const char *ifname)
{
	int host = open_namespace("/proc/self/ns/net");

	send_move(enter_and_open_socket(open_namespace(path)), ifname, link, host);
}

static void del(const char *path, const char *ifname)
{
	int pod = enter_and_open_socket(open_namespace(path));
	struct ifinfomsg body = { 0 };
	struct nlmsghdr *message = begin(RTM_DELLINK, 0, &body, sizeof(body));

	attribute(IFLA_IFNAME, ifname, strlen(ifname) + 1);
	end(message);
	send_batch(pod, "delete the link");
}

int main(int count, char **arguments)
{
	const char *verb = count > 1 ? arguments[1] : "";

	if (!strcmp(verb, "add") && count >= 8 && count % 2 == 0)
		add(count - 2, arguments + 2);
	else if (!strcmp(verb, "del") && count == 4)
		del(arguments[2], arguments[3]);
	else if (!strcmp(verb, "take") && count >= 7 && count % 2 == 1)
		take(count - 2, arguments + 2);
	else if (!strcmp(verb, "return") && count == 5)
		give_back(arguments[2], arguments[3], arguments[4]);
	else if (strcmp(verb, "nothing") || count != 2)
		misused();
	return 0;
}
