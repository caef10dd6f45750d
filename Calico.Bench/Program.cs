using Calico.Bench.Kernel;

switch (args)
{
    case ["kernel-routes", ..]:
        return RouteBench.Run(args[1..]);
    case ["kernel-veth", ..]:
        return VethBench.Run(args[1..]);
    default:
        Console.Error.WriteLine("usage: Calico.Bench kernel-routes [COUNT] | kernel-veth [COUNT]");
        return 64;
}
