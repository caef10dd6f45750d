using Calico.Core.Net;
using Calico.Kernel.Netlink;

namespace Calico.Kernel.Rules;

/// <summary>The kernel's routing policy rules over rtnetlink.</summary>
internal sealed class RuleTable(NetlinkSocket socket) : NetlinkTable(socket), IRuleTable
{
    public IReadOnlyList<RoutingRule> Dump(IpVersion? family = null)
    {
        var rules = new List<RoutingRule>();
        if (family is null or IpVersion.V4)
            DumpFamily(IpVersion.V4, rules);
        if (family is null or IpVersion.V6)
            DumpFamily(IpVersion.V6, rules);
        return rules;
    }

    public void Add(RoutingRule rule)
    {
        Batch.Clear(Socket);
        var w = Batch.Writer();
        RuleMessage.Write(ref w, RouteMessageType.NewRule, NetlinkFlags.Create | NetlinkFlags.Exclusive, rule);
        Write("add rule", rule.ToString(), orElse: Errno.EEXIST);
    }

    public void Delete(RoutingRule rule)
    {
        Batch.Clear(Socket);
        var w = Batch.Writer();
        RuleMessage.Write(ref w, RouteMessageType.DelRule, NetlinkFlags.None, rule with { Protocol = 0 });
        Write("delete rule", rule.ToString(), orElse: Errno.ENOENT);
    }

    private void DumpFamily(IpVersion family, List<RoutingRule> rules)
    {
        Batch.Clear(Socket);
        var w = Batch.Writer();
        RuleMessage.WriteDump(ref w, family);
        var sink = new RuleList(rules, rules.Count);
        Dump(ref sink, "dump rules", family == IpVersion.V4 ? "IPv4" : "IPv6");
    }

    private readonly struct RuleList(List<RoutingRule> rules, int start) : INetlinkSink
    {
        public void Restart() => rules.RemoveRange(start, rules.Count - start);

        public void Message(in NetlinkMessage message)
        {
            if (RuleMessage.Read(message.Payload) is { } rule)
                rules.Add(rule);
        }
    }
}
