using Calico.Bench;
using Calico.Bench.Bgp;
using Calico.Bench.Cni;
using Calico.Bench.Datastore;
using Calico.Bench.Ipam;
using Calico.Bench.Kernel;
using Calico.Bench.Nft;

// Each bench compares with a peer in the same run and prints ratios; docs/performance*.md has the numbers.
switch (args)
{
    case ["kernel-routes", ..]:
        return RouteBench.Run(args[1..]);
    case ["kernel-veth", ..]:
        return VethBench.Run(args[1..]);
    case ["nft", ..]:
        return NftBench.Run(args[1..]);
    case ["datastore", ..]:
        return await DatastoreBench.RunAsync(args[1..]);
    case ["datastore-scale", ..]:
        return await ScaleBench.RunAsync(args[1..]);
    case ["datastore-serve", var directory]:
        return await BenchBackend.ServeAsync(directory);
    case ["ipam", ..]:
        return await IpamBench.RunAsync(args[1..]);
    case ["start", ..]:
        return StartBench.Run(args[1..]);
    case ["bgp", ..]:
        return await BgpBench.RunAsync(args[1..]);
    case ["bgp-feeders", ..]:
        return await FeedersBench.RunAsync(args[1..]);
    case ["bgp-sessions", ..]:
        return await SessionsBench.RunAsync(args[1..]);
    case ["bgp-kernel", ..]:
        return await KernelBench.RunAsync(args[1..]);
    case ["cni", ..]:
        return CniBench.Run(args[1..]);
    default:
        Console.Error.WriteLine("usage: Calico.Bench kernel-routes [COUNT] | kernel-veth [COUNT] | nft [RULES MEMBERS] | datastore [DIRECTORY [SECONDS]] | datastore-scale [DIRECTORY] | ipam [DIRECTORY [SECONDS]] | start CALICOCTL [KUBECTL] | cni SHIM NODE_SOCKET [COUNT [ROUNDS [CALLERS,…]]] | bgp CALICO_NODE [ROUTES [ROUNDS [PEER,…]]] | bgp-feeders CALICO_NODE [ROUTES [FEEDERS [ROUNDS [PEER,…]]]] | bgp-sessions CALICO_NODE [SESSIONS [ROUTES [ROUNDS [PEER,…]]]] | bgp-kernel CALICO_NODE [ROUTES [ROUNDS]]");
        return 64;
}
