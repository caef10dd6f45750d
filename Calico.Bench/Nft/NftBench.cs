using System.Diagnostics;
using System.Globalization;
using System.Text;
using Calico.Core.Net;
using Calico.Core.Nft;
using Calico.Kernel.Namespaces;
using Calico.Kernel.Nft;

namespace Calico.Bench.Nft;

/// <summary>
/// One member and one rule more, and then less, in a table with many: through our delta and netlink and, in turns with
/// it, through <c>nft -f</c> in a namespace with the same table, and one rule through <c>iptables-nft-restore</c>
/// beside as many rules. The table is the shape that policy has: chains of ten rules, reached from one base chain
/// by a verdict map.
/// </summary>
internal static class NftBench
{
    private const int Rounds = 21;
    private const int RulesPerChain = 10;
    private const string Element = "element ip calico hosts { 203.0.113.1 }\n";
    private const string ChainRule = "rule ip calico chain0 meta mark 999999 counter accept\n";
    private const string IptablesRule = "many -s 203.0.113.1/32 -j ACCEPT\n";
    private static readonly NftTable Table = new(NftFamily.Ip, "calico");
    private static readonly NftSet Hosts = NftSet.OfAddresses("hosts", IpVersion.V4);
    private static readonly NftSet Networks = NftSet.OfNetworks("networks", IpVersion.V4);
    private static readonly NftSet Dispatch = NftSet.OfInterfaceVerdicts("dispatch");

    public static int Run(string[] args)
    {
        if (args is [var rulesText, var membersText])
        {
            Measure(Number(rulesText), Number(membersText));
            return 0;
        }
        Measure(100, 1_000);
        Measure(1_000, 10_000);
        Measure(10_000, 100_000);
        return 0;
    }

    private static void Measure(int rules, int members)
    {
        using var ours = NetworkNamespace.CreateUnnamed();
        using var theirs = NetworkNamespace.CreateUnnamed();
        using var table = NetlinkNftTable.Open(Table, ours.Fd);
        using var other = NetlinkNftTable.Open(Table, theirs.Fd);
        var delta = Fill(rules, members);
        var load = Time(() => Commit(delta, table));
        Commit(Fill(rules, members), other);
        var many = Enumerable.Range(0, rules).Select(i => $"-A many -s 10.{i >> 8 & 255}.{i & 255}.1/32 -j ACCEPT\n");
        Restore(theirs, $":many - [0:0]\n-A FORWARD -j many\n{string.Concat(many)}");

        var member = NftElement.Of(IpAddr.Parse("203.0.113.1"));
        var network = NftElement.Of(Cidr.Parse("203.0.113.0/24"));
        NftRule[] before = Rules(0), after = [.. before, Rule(999_999)];
        var rows = new SortedDictionary<string, List<double>>(StringComparer.Ordinal);
        void Note(string what, Action action)
        {
            var took = Time(action);
            if (!rows.TryGetValue(what, out var list))
                rows[what] = list = [];
            list.Add(took);
        }
        void Ours(string what, Action change)
        {
            change();
            Note(what, () => Commit(delta, table));
        }
        for (var round = 0; round < Rounds; round++)
        {
            Ours("1 ours: member and rule +", () =>
            {
                delta.AddElements("hosts", member);
                delta.SetChain("chain0", after);
            });
            Ours("1 ours: member and rule -", () =>
            {
                delta.RemoveElements("hosts", member);
                delta.SetChain("chain0", before);
            });
            Ours("2 ours: member of a hash set +", () => delta.AddElements("hosts", member));
            Ours("2 ours: member of a hash set -", () => delta.RemoveElements("hosts", member));
            Ours("3 ours: network of an interval set +", () => delta.AddElements("networks", network));
            Ours("3 ours: network of an interval set -", () => delta.RemoveElements("networks", network));
            Ours("4 ours: rule +", () => delta.SetChain("chain0", after));
            Ours("4 ours: rule -", () => delta.SetChain("chain0", before));
            if (round % 4 != 0)
                continue;
            Note("5 nft -f: member and rule +", () => Nft(theirs, $"add {Element}add {ChainRule}"));
            Nft(theirs, $"delete {Element}");
            Note("6 nft -f: member +", () => Nft(theirs, $"add {Element}"));
            Note("6 nft -f: member -", () => Nft(theirs, $"delete {Element}"));
            Note("7 iptables-nft-restore -n: rule +", () => Restore(theirs, $"-A {IptablesRule}", "-n"));
            Note("7 iptables-nft-restore -n: rule -", () => Restore(theirs, $"-D {IptablesRule}", "-n"));
        }
        var dump = Time(() => table.Dump());
        var (restart, planned) = (Fill(rules, members), 0);
        var adopt = Time(() =>
        {
            restart.Adopt(table.Dump());
            planned = restart.Plan().ObjectCount;
        });
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{rules} rules, {members} members in each of two sets; load {load:F0} ms, dump {dump:F0} ms, ")
            + string.Create(CultureInfo.InvariantCulture, $"adopt {adopt:F0} ms with {planned} writes planned"));
        var reference = Median(rows["1 ours: member and rule +"]);
        foreach (var (what, times) in rows)
        {
            times.Sort();
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"  {what,-36} median {Median(times),9:F3} ms  min {times[0],9:F3}  max {times[^1],9:F3}")
                + string.Create(CultureInfo.InvariantCulture, $"  = {Median(times) / reference,8:F1} x ours"));
        }
    }

    private static NftDelta Fill(int rules, int members)
    {
        var delta = new NftDelta(Table);
        foreach (var set in new[] { Hosts, Networks, Dispatch })
            delta.SetDefinition(set);
        for (var i = 0; i < members; i++)
        {
            delta.AddElements("hosts", NftElement.Of(IpAddr.FromV4(0x0a000000u + (uint)i)));
            delta.AddElements("networks", NftElement.Of(new Cidr(IpAddr.FromV4(0x0a000000u + ((uint)i << 8)), 24)));
        }
        for (var chain = 0; chain < rules / RulesPerChain; chain++)
        {
            delta.SetChain($"chain{chain}", Rules(chain));
            delta.MapSet("dispatch", NftElement.OfInterface($"cali{chain}"), NftVerdict.Goto($"chain{chain}"));
        }
        delta.SetChain(new NftChain("filter-FORWARD", new NftBaseHook(NftChainType.Filter, NftHook.Forward, 0)),
            [new NftRule(new Cause("bench"), new NftStatement.VerdictMap(NftField.InInterface, "dispatch"))]);
        return delta;
    }

    private static NftRule[] Rules(int chain) => [.. Enumerable.Range(chain * RulesPerChain,
        RulesPerChain).Select(Rule)];

    private static NftRule Rule(int number) => new(new Cause($"NetworkPolicy/default/p{number}", "1"),
        new NftMatch.Protocol(6),
        new NftMatch.InSet("hosts", NftField.SourceAddress), new NftMatch.Port(NftSide.Destination,
            (ushort)(number & 0xffff)),
        new NftStatement.Counter(), new NftStatement.SetMark(NftMarkOf.Packet, 0x10000, 0x10000),
            new NftStatement.Verdict(NftVerdict.Return));

    private static void Commit(NftDelta delta, NetlinkNftTable table) => delta.Committed(table.Commit(delta.Plan()));

    private static void Nft(NetworkNamespace inside, string script) => Start(inside, "nft", ["-f", "-"], script);

    private static void Restore(NetworkNamespace inside, string rules, params string[] arguments) =>
        Start(inside, "iptables-nft-restore", arguments, $"*filter\n{rules}COMMIT\n");

    private static void Start(NetworkNamespace inside, string program, string[] arguments, string input)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            StandardInputEncoding = Encoding.ASCII
        };
        using var process = ProcessInNamespace.Start(start, inside);
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        process.WaitForExit();
        if (process.ExitCode != 0)
            throw new InvalidOperationException($"{program}: exit {process.ExitCode}");
    }

    private static double Time(Action action)
    {
        var from = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(from).TotalMilliseconds;
    }

    private static double Median(List<double> times) => times.Order().ElementAt(times.Count / 2);
    private static int Number(string text) => int.Parse(text, NumberStyles.None, CultureInfo.InvariantCulture);
}
