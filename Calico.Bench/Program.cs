using Calico.Bench.Kernel;
using Calico.Bench.Nft;

switch (args)
{
    case ["kernel-routes", ..]:
        return RouteBench.Run(args[1..]);
    case ["kernel-veth", ..]:
        return VethBench.Run(args[1..]);
    case ["nft", ..]:
        return NftBench.Run(args[1..]);
    default:
        Console.Error.WriteLine("usage: Calico.Bench kernel-routes [COUNT] | kernel-veth [COUNT] | nft [RULES MEMBERS]");
        return 64;
}
